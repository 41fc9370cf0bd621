"""What is in a topic of Kafka."""

from confluent_kafka import Consumer, Message, TopicPartition

from tests.sinks.rig import PATIENCE_S


def messages(brokers: str, topic: str) -> list[Message]:
    """All messages of a topic, by partition and in order."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": topic, "log_level": 0})
    try:
        numbers = consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions
        partitions = [TopicPartition(topic, each, 0) for each in numbers]
        ends = [consumer.get_watermark_offsets(each, timeout=PATIENCE_S) for each in partitions]
        consumer.assign(partitions)
        count = sum(high - low for low, high in ends)
        found = consumer.consume(count, timeout=PATIENCE_S) if count else []
    finally:
        consumer.close()
    assert [each.error() for each in found] == [None] * count
    return sorted(found, key=lambda each: (each.partition(), each.offset()))
