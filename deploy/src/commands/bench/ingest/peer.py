"""Reverb as the peer of `vpt bench ingest`: a producer, a server with a queue, and a consumer that hashes every frame.

The consumer is a third process, or lives in the server's, where Reverb skips gRPC. Reads one JSON object a line and
answers with one; every measurement starts processes of its own.
"""
import importlib.metadata
import json
import multiprocessing
import os
import socket
import struct
import sys
import time

SIDE = 128
# Unrolls that the queue holds; as many credits has the other side.
QUEUE = 64
# Items under way from the writer before it waits.
AHEAD = 8
# How long the writer waits for room before it looks for a question.
WAIT_MS = 50


def read_frames(path):
    import numpy as np

    return np.fromfile(path, np.uint8).reshape(-1, SIDE, SIDE, 3)


def cpu_seconds():
    times = os.times()
    return times.user + times.system


def bytes_sent():
    """Bytes that this process has sent over TCP and that were acknowledged (tcpi_bytes_acked)."""
    total = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as copy:
                info = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
            total += struct.unpack_from("<Q", info, 120)[0]
        except OSError:
            pass
    return total


def serve(port, length, inside, path, seconds, warm_up, pipe):
    import reverb

    server = reverb.Server([reverb.Table.queue("frames", QUEUE)], port=port)
    pipe.send("up")
    if inside:
        pipe.send(consume(server.localhost_client(), path, seconds, warm_up))
    # Between two questions lies what is measured.
    while pipe.recv() == "cpu":
        pipe.send(cpu_seconds())
    server.stop()


def produce(port, length, path, pipe):
    import reverb

    frames, written = read_frames(path), 0
    client = reverb.Client(f"localhost:{port}")
    with client.trajectory_writer(num_keep_alive_refs=length) as writer:
        while True:
            first = written % len(frames)
            for frame in frames[first : first + length]:
                writer.append({"frame": frame})
            writer.create_item("frames", 1.0, {"frame": writer.history["frame"][-length:]})
            written += length
            # Nobody takes from the queue once the measurement is over; questions come all the same.
            is_full = True
            while is_full:
                try:
                    writer.flush(AHEAD, timeout_ms=WAIT_MS)
                    is_full = False
                except reverb.errors.DeadlineExceededError:
                    pass
                if pipe.poll():
                    if pipe.recv() == "cpu":
                        pipe.send(cpu_seconds())
                    else:
                        pipe.send(bytes_sent() / (written - AHEAD * length))
                        os._exit(0)


def consume(client, path, seconds, warm_up):
    import numpy as np
    import xxhash

    known = {xxhash.xxh3_64_intdigest(frame) for frame in read_frames(path)}
    began = counted = None
    for item in client.sample("frames", num_samples=1 << 40, emit_timesteps=False):
        frames = np.asarray(item.data[0] if isinstance(item.data, (list, tuple)) else item.data["frame"])
        for frame in frames:
            if xxhash.xxh3_64_intdigest(frame) not in known:
                raise ValueError("a frame that was not sent")
        now = time.perf_counter()
        if began is None:
            began = now
        elif counted is not None:
            counted += len(frames)
            if now - since >= seconds:
                return {"frames": counted, "seconds": now - since, "cpu_seconds": cpu_seconds() - cpu}
        elif now - began >= warm_up:
            since, cpu, counted = now, cpu_seconds(), 0


def consume_in_process(port, path, seconds, warm_up, pipe):
    import reverb

    pipe.send(consume(reverb.Client(f"localhost:{port}"), path, seconds, warm_up))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(pipe, question):
    pipe.send(question)
    return pipe.recv()


def measure(path, length, request):
    context = multiprocessing.get_context("spawn")
    inside, seconds, warm_up = request["consumer"] == "inside", request["seconds"], request["warm_up"]
    port, processes = free_port(), []

    def start(target, *arguments):
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(*arguments, theirs), daemon=True)
        process.start()
        processes.append(process)
        return ours

    server = start(serve, port, length, inside, path, seconds, warm_up)
    server.recv()
    producer = start(produce, port, length, path)
    if inside:
        # Its warm-up is over only roughly when it is asked; a tenth of a second of many.
        before = ask(producer, "cpu")
        began = time.perf_counter()
        answer = server.recv()
        share = answer["seconds"] / (time.perf_counter() - began)
        answer["cpu_seconds"] += (ask(producer, "cpu") - before) * share
    else:
        consumer = start(consume_in_process, port, path, seconds, warm_up)
        before = ask(producer, "cpu") + ask(server, "cpu")
        began = time.perf_counter()
        answer = consumer.recv()
        share = answer["seconds"] / (time.perf_counter() - began)
        answer["cpu_seconds"] += (ask(producer, "cpu") + ask(server, "cpu") - before) * share
    answer["bytes_per_frame"] = ask(producer, "bytes")
    for process in processes:
        process.kill()
        process.join()
    return answer


def main():
    path, length = sys.argv[1], int(sys.argv[2])
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("dm-reverb", "tensorflow", "xxhash")]
    print(json.dumps({"name": ", ".join(versions)}), flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(path, length, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
