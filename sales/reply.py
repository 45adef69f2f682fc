"""What the sales agent answers: the structured form that every language model fills in."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator

Language = Literal["ru", "kk", "en"]
Action = Literal["handoff", "book_call", "cancel_call"]


class Learnt(BaseModel):
    """What the customer told of their case, in a few words each; empty where nothing new was said."""

    situation: str = Field(default="", description="what they have or use now, how much, by when")
    problem: str = Field(default="", description="what does not suit them")
    implication: str = Field(default="", description="what that costs them")
    need: str = Field(default="", description="what they want to gain")


class Reply(BaseModel):
    """What the agent answers, and what it understood."""

    reply: str = Field(description="the text for the customer; empty only together with book_call or cancel_call")
    language: Language = Field(description="the customer's language, in which the reply is written")
    intent: Literal[
        "greeting", "question", "price", "order", "objection", "complaint", "call", "handoff", "opt_out", "thanks", "other"
    ] = "other"
    emotion: Literal["calm", "interested", "doubting", "annoyed", "happy"] = "calm"
    commitment: Literal["yes", "no", "vague", "none"] = Field(
        default="none", description="what the customer's last message says to our proposal"
    )
    spin_stage: Literal["situation", "problem", "implication", "need_payoff", "none"] = "none"
    learnt: Learnt = Field(default_factory=Learnt)
    city: str = Field(default="", description="the city where the customer is, in the nominative, only if they said so")
    call_at: str = Field(default="", description="with book_call: the start, exactly as a free time is given in the facts")
    actions: list[Action] = Field(
        default_factory=list,
        description="handoff: a manager has to answer this; book_call: the customer agreed to a call at call_at; "
        "cancel_call: the customer calls the agreed call off",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Reply:
        if not self.reply.strip() and not {"book_call", "cancel_call"} & set(self.actions):
            raise ValueError("the reply is empty")
        return self
