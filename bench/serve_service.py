"""
A service that predicts: ONNX Runtime behind an HTTP server, for uvicorn.

The body of a request is rows of float32, that of its response the outputs; no
JSON, no framework, so that what is compared is the way and not a parser.
"""
import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy  # noqa: E402
import onnxruntime  # noqa: E402

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(
    os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])
input_ = session.get_inputs()[0]
outputs = [session.get_outputs()[0].name]


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    rows = numpy.frombuffer(body, numpy.float32).reshape(
        -1, input_.shape[1])
    found = session.run(outputs, {input_.name: rows})[0].tobytes()
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", str(len(found)).encode())]})
    await send({"type": "http.response.body", "body": found})
