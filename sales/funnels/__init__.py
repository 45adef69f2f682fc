"""Menus, answers and quizzes that need no language model: rows that a company writes (see docs/funnels.md)."""
