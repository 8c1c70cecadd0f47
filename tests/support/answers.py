"""The answers with which a broker refuses the requests of a transactional writer."""

import struct
from typing import Any

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
from support.proxy import ADD_OFFSETS, ADD_PARTITIONS, END_TXN, INIT_PRODUCER_ID, PRODUCE, TXN_OFFSET_COMMIT

REQUESTS: dict[int, Any] = {
    each.API_KEY: each
    for each in (
        ProduceRequest, InitProducerIdRequest, AddPartitionsToTxnRequest, AddOffsetsToTxnRequest, EndTxnRequest,
        TxnOffsetCommitRequest,
    )
}  # fmt: skip


def refusal(frame: bytes, code: int) -> bytes:
    """Return the answer to a request, both with their length field, that has an error code wherever it can have one."""
    _, api, version = struct.unpack_from(">ihh", frame)
    request = REQUESTS[api].decode(frame, version=version, header=True, framed=True)
    answer = _ANSWERS[api](request, version, code)
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


_ANSWERS: dict[int, Any] = {
    PRODUCE: _produced,
    INIT_PRODUCER_ID: lambda _, version, code: InitProducerIdResponse(
        version=version, error_code=code, producer_id=-1, producer_epoch=-1
    ),
    ADD_PARTITIONS: _added,
    ADD_OFFSETS: lambda _, version, code: AddOffsetsToTxnResponse(version=version, error_code=code),
    TXN_OFFSET_COMMIT: _offsets,
    END_TXN: lambda _, version, code: EndTxnResponse(version=version, error_code=code),
}
