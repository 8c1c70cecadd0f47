"""The answers with which a broker refuses the requests of a transactional writer, and those of readers."""

import struct
from typing import Any

from kafka.protocol.consumer import FetchRequest, FetchResponse
from kafka.protocol.metadata import MetadataRequest, MetadataResponse
from kafka.protocol.producer import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    EndTxnRequest,
    EndTxnResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    ProduceRequest,
    ProduceResponse,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)
from support.proxy import (
    ADD_OFFSETS,
    ADD_PARTITIONS,
    END_TXN,
    FETCH,
    INIT_PRODUCER_ID,
    METADATA,
    PASSED,
    PRODUCE,
    TXN_OFFSET_COMMIT,
    Fate,
    Proxy,
    Request,
)

REQUESTS: dict[int, Any] = {
    each.API_KEY: each
    for each in (
        ProduceRequest, InitProducerIdRequest, AddPartitionsToTxnRequest, AddOffsetsToTxnRequest, EndTxnRequest,
        TxnOffsetCommitRequest, FetchRequest, MetadataRequest,
    )
}  # fmt: skip


class Answered:
    """A rule of the relay: the next request of a kind is answered with an error code, whether it is done or not."""

    def __init__(self, proxy: Proxy, api: int, code: int, *, done: bool) -> None:
        self._proxy, self._api = proxy, api
        self._fate = Fate(answer=lambda frame: refusal(frame, code, proxy.port), done=done)
        self.given = False

    def __call__(self, request: Request) -> Fate:
        """Return what happens to a request."""
        if request.api != self._api or self.given:
            return PASSED
        self.given = True
        return self._fate


def refusal(frame: bytes, code: int, port: int) -> bytes:
    """Return the answer to a request, both with their length field, that has an error code wherever it can have one.

    `port` is that of the only broker.
    """
    _, api, version = struct.unpack_from(">ihh", frame)
    request = REQUESTS[api].decode(frame, version=version, header=True, framed=True)
    answer = _described(request, version, code, port) if api == METADATA else _ANSWERS[api](request, version, code)
    answer.with_header(request.header.correlation_id)
    return bytes(answer.encode(header=True, framed=True))


def _produced(request: Any, version: int, code: int) -> Any:
    topic = ProduceResponse.TopicProduceResponse
    partition = topic.PartitionProduceResponse
    return ProduceResponse(
        version=version,
        responses=[
            topic(
                version=version,
                name=each.name,
                topic_id=each.topic_id,
                partition_responses=[
                    partition(version=version, index=one.index, error_code=code, base_offset=-1)
                    for one in each.partition_data
                ],
            )
            for each in request.topic_data
        ],
    )


def _added(request: Any, version: int, code: int) -> Any:
    topic = AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult
    one = topic.AddPartitionsToTxnPartitionResult
    results = {
        each.name: [
            one(version=version, partition_index=number, partition_error_code=code) for number in each.partitions
        ]
        for each in request.v3_and_below_topics
    }
    topics = [topic(version=version, name=name, results_by_partition=found) for name, found in results.items()]
    return AddPartitionsToTxnResponse(version=version, results_by_topic_v3_and_below=topics)


def _offsets(request: Any, version: int, code: int) -> Any:
    topic = TxnOffsetCommitResponse.TxnOffsetCommitResponseTopic
    results = {
        each.name: [
            topic.TxnOffsetCommitResponsePartition(version=version, partition_index=p.partition_index, error_code=code)
            for p in each.partitions
        ]
        for each in request.topics
    }
    topics = [topic(version=version, name=name, partitions=found) for name, found in results.items()]
    return TxnOffsetCommitResponse(version=version, topics=topics)


def _fetched(request: Any, version: int, code: int) -> Any:
    topic = FetchResponse.FetchableTopicResponse
    partition = topic.PartitionData
    responses = [
        topic(
            version=version,
            topic=each.topic,
            topic_id=each.topic_id,
            partitions=[
                partition(
                    version=version, partition_index=one.partition, error_code=code, high_watermark=-1, records=b""
                )
                for one in each.partitions
            ],
        )
        for each in request.topics
    ]
    # the error of the whole answer is one of the session, which only some clients have
    return FetchResponse(version=version, error_code=0 if responses else code, responses=responses)


def _described(request: Any, version: int, code: int, port: int) -> Any:
    topic, broker = MetadataResponse.MetadataResponseTopic, MetadataResponse.MetadataResponseBroker
    topics = [
        topic(version=version, error_code=code, name=each.name, topic_id=each.topic_id, partitions=[])
        for each in request.topics or ()
    ]
    brokers = [broker(version=version, node_id=1, host="127.0.0.1", port=port)]
    return MetadataResponse(version=version, brokers=brokers, controller_id=1, topics=topics)


_ANSWERS: dict[int, Any] = {
    FETCH: _fetched,
    PRODUCE: _produced,
    INIT_PRODUCER_ID: lambda _, version, code: InitProducerIdResponse(
        version=version, error_code=code, producer_id=-1, producer_epoch=-1
    ),
    ADD_PARTITIONS: _added,
    ADD_OFFSETS: lambda _, version, code: AddOffsetsToTxnResponse(version=version, error_code=code),
    TXN_OFFSET_COMMIT: _offsets,
    END_TXN: lambda _, version, code: EndTxnResponse(version=version, error_code=code),
}
