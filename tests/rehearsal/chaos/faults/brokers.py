"""The broker is away, silent, forgetful."""

from __future__ import annotations

import signal
import time

from .table import Scene, fault


@fault("broker-restart", "broker", "the broker is killed and starts again")
def broker_restart(scene: Scene) -> None:
    stack = scene.stack
    if stack.broker == "rabbitmq":
        stack.rabbitmq.kill()
        time.sleep(1)
        stack.rabbitmq.start()
        return
    assert stack.redis.process is not None
    stack.redis.process.kill()
    stack.redis.process.wait()
    time.sleep(1)
    stack.redis.start()


@fault("flushall", "broker", "the broker forgets everything", brokers=("redis",))
def flushall(scene: Scene) -> None:
    for _ in range(3):
        scene.stack.redis_client().flushall()
        time.sleep(0.7)


@fault("broker-frozen", "broker", "the broker keeps its connections and says nothing: webhooks are answered all the same", lasts=(10, 32))
def broker_frozen(scene: Scene) -> None:
    stack = scene.stack
    stack.signal_broker(signal.SIGSTOP)
    if refused := scene.refused_within(lambda: scene.sleep(8, 30)):
        scene.wrong.append(f"{refused} webhooks were refused while the broker was away")
    stack.signal_broker(signal.SIGCONT)


@fault("client-kill", "broker", "every connection to the broker is cut, twice", brokers=("redis",))
def client_kill(scene: Scene) -> None:
    for _ in range(2):
        for kind in ("normal", "pubsub"):
            scene.stack.redis_client().execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        time.sleep(1)


@fault("close-connections", "broker", "RabbitMQ closes every connection, twice", lasts=(5, 6), brokers=("rabbitmq",))
def close_connections(scene: Scene) -> None:
    for _ in range(2):
        scene.stack.rabbitmq.close_all_connections()
        time.sleep(1)
