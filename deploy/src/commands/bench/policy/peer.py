"""The policy in PyTorch, as the opponent of `vpt bench policy`: the same network, weights and frames, written to be quick.

Batched attention, inference_mode, fused AdamW, NCHW or channels_last as asked. Reads one JSON object a line and
answers with one; `vpt bench policy` starts it with the folder that holds the model and the frames.
"""
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F

FOLDER = sys.argv[1]


def resident_bytes():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


def reset_peak():
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")


def peak_bytes():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


class Network:
    def __init__(self, config, channels_last):
        self.heads = config["attention_heads"]
        self.layers = config["n_recurrence_layers"]
        self.maxlen = config["maxlen"]
        self.temperature = config["temperature"]
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        weights = torch.load(f"{FOLDER}/model.weights", weights_only=True)
        self.w = {}
        for name, value in weights.items():
            if value.dim() == 4:
                value = value.contiguous(memory_format=self.format)
            self.w[name] = value
        # The reference's normaliser statistics are no parameters.
        self.trainable = [n for n in self.w if ".normalizer." not in n]

    def norm(self, x, name):
        return F.layer_norm(x, (x.shape[-1],), self.w[name + ".weight"], self.w[name + ".bias"])

    def linear(self, x, name):
        return F.linear(x, self.w[name + ".weight"], self.w.get(name + ".bias"))

    def fan_in(self, x, name):
        return F.linear(self.norm(x, name + ".norm"), self.w[name + ".layer.weight"]).relu_()

    def image_norm(self, x, name):
        return F.group_norm(x, 1, self.w[name + ".weight"], self.w[name + ".bias"])

    def conv(self, x, name):
        if name + ".norm.weight" in self.w:
            x = self.image_norm(x, name + ".norm")
        return F.conv2d(x, self.w[name + ".layer.weight"], self.w.get(name + ".layer.bias"), padding=1).relu_()

    def trunk(self, frames):
        x = frames.flatten(0, 1).permute(0, 3, 1, 2).to(torch.float32, memory_format=self.format).div_(255)
        for s in range(3):
            stack = f"net.img_process.cnn.stacks.{s}"
            x = F.max_pool2d(self.conv(x, stack + ".firstconv"), 3, 2, 1)
            x = self.image_norm(x, stack + ".n")
            for b in range(2):
                block = f"{stack}.blocks.{b}"
                x = x + self.conv(self.conv(x, block + ".conv0"), block + ".conv1")
        x = x.contiguous().flatten(1)
        x = self.fan_in(self.fan_in(x, "net.img_process.cnn.dense"), "net.img_process.linear")
        return x.view(*frames.shape[:2], -1)

    def masks(self, first, seen):
        """Additive mask [B, 1, T, M + T] and the memory's mask after the chunk."""
        batch, time_ = first.shape
        m = self.maxlen
        episode = torch.cat([torch.where(seen, 0, -1), first.long().cumsum(1)], 1)
        distance = torch.arange(time_)[:, None] + m - torch.arange(m + time_)[None, :]
        near = (distance >= 0) & (distance < m)
        same = episode[:, m:, None] == episode[:, None, :]
        visible = near & same
        after = episode[:, -m:] == episode[:, -1:]
        return torch.where(visible, 0.0, -1e9)[:, None], after

    def attention(self, x, name, mask, keys, values):
        batch, time_, width = x.shape
        m, size = self.maxlen, width // self.heads
        q = self.linear(x, name + ".q_layer")
        keys = torch.cat([keys, self.linear(x, name + ".k_layer")], 1)
        values = torch.cat([values, self.linear(x, name + ".v_layer")], 1)
        split = lambda rows: rows.view(batch, -1, self.heads, size).transpose(1, 2)
        r = self.linear(x, name + ".r_layer").view(batch, time_, self.heads, 10).transpose(1, 2)
        by_distance = F.pad(self.w[name + ".b_nd"].flip(1), (1, time_))
        bias = (r @ by_distance).reshape(batch, self.heads, -1)[..., : time_ * (m + time_)]
        bias = bias.reshape(batch, self.heads, time_, m + time_) + mask
        out = F.scaled_dot_product_attention(split(q), split(keys), split(values), attn_mask=bias, scale=1.0 / size)
        out = out.transpose(1, 2).reshape(batch, time_, width)
        return self.linear(out, name + ".proj_layer"), keys[:, -m:].detach(), values[:, -m:].detach()

    def forward(self, frames, first, state):
        x = self.trunk(frames)
        seen, rows = state
        mask, seen = self.masks(first, seen)
        after = []
        for i, (keys, values) in enumerate(rows):
            block = f"net.recurrent_layer.blocks.{i}"
            x = self.norm(x, block + ".pre_r_ln")
            attended, keys, values = self.attention(x, block + ".r.orc_block", mask, keys, values)
            after.append((keys, values))
            x = x + attended
            x = x + self.linear(self.fan_in(x, block + ".mlp0"), block + ".mlp1.layer")
        x = self.norm(self.fan_in(x.relu(), "net.lastlayer"), "net.final_ln")
        logits = lambda head: self.linear(x, f"pi_head.{head}.linear_layer") / self.temperature
        log_probs = tuple(F.log_softmax(logits(head), -1) for head in ("buttons", "camera"))
        return log_probs, self.linear(x, "value_head.linear").squeeze(-1), (seen, after)

    def initial(self, batch, width):
        zeros = lambda: torch.zeros(batch, self.maxlen, width)
        return torch.zeros(batch, self.maxlen, dtype=torch.bool), [(zeros(), zeros()) for _ in range(self.layers)]


class Worker:
    def __init__(self):
        self.base = resident_bytes()
        self.config = json.load(open(f"{FOLDER}/config.json"))
        raw = bytearray(open(f"{FOLDER}/frames.bin", "rb").read())
        side = self.config["side"]
        self.frames = torch.frombuffer(raw, dtype=torch.uint8).view(-1, side, side, 3)
        self.net, self.key, self.optimizer, self.states = None, None, None, {}

    def network(self, channels_last, trains):
        key = (channels_last, trains)
        if self.key != key:
            self.net, self.optimizer, self.states, self.key = Network(self.config, channels_last), None, {}, key
        return self.net

    def act(self, request):
        net, batch = self.network(request["channels_last"], False), request["batch"]
        with torch.inference_mode():
            state = self.states.get(batch) or net.initial(batch, self.config["hidsize"])
            frames = self.frames[:batch].unsqueeze(1)
            start = time.perf_counter()
            log_probs, value, state = net.forward(frames, torch.zeros(batch, 1, dtype=torch.bool), state)
            seconds = time.perf_counter() - start
            self.states[batch] = state
        answer = {"seconds": seconds}
        if request.get("save"):
            torch.cat([p.flatten() for p in log_probs] + [value.flatten()]).numpy().tofile(request["save"])
        return answer

    def train(self, request):
        net, length = self.network(request["channels_last"], True), request["time"]
        reset_peak()
        if self.optimizer is None:
            for name in net.trainable:
                net.w[name].requires_grad_(True)
            self.optimizer = torch.optim.AdamW(
                [net.w[n] for n in net.trainable], lr=request["lr"], weight_decay=0.01, fused=True)
        frames = self.frames[:length].unsqueeze(0)
        buttons = (torch.arange(length) * 131 % 8641)[None, :, None]
        camera = (torch.arange(length) * 17 % 121)[None, :, None]
        state = net.initial(1, self.config["hidsize"])
        start = time.perf_counter()
        (b, c), _, _ = net.forward(frames, torch.zeros(1, length, dtype=torch.bool), state)
        loss = -(b.gather(2, buttons) + c.gather(2, camera)).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "loss": loss.item(), "peak_bytes": peak_bytes(), "base_bytes": self.base}


def main():
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        torch.set_num_threads(request["threads"])
        answer = worker.act(request) if request["op"] == "act" else worker.train(request)
        print(json.dumps(answer), flush=True)


print(json.dumps({"name": f"PyTorch {torch.__version__}"}), flush=True)
main()
