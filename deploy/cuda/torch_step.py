"""The cloning step of policy/examples/learner_step.rs in PyTorch, for comparison on the same GPU.

The same network, batch, loss, clipping and AdamW, written as one would for speed: channels last, autocast, fused attention and
optimiser, cuDNN's search for algorithms. Same options, same line of JSON.

    python deploy/cuda/torch_step.py --model 1x --device cuda --precision bf16 --batch 8 --time 128 [--compile]
"""

import argparse
import json
import time

import torch
import torch.nn.functional as F
from torch import nn

SIZES = {"1x": (1024, 4, 8), "2x": (2048, 8, 16), "3x": (3072, 12, 24)}
MEMORY, BASES, BUTTONS, CAMERA, TEMPERATURE = 128, 10, 8641, 121, 2.0


class FanInConv(nn.Module):
    def __init__(self, inputs, outputs, norm=True):
        super().__init__()
        self.norm = nn.GroupNorm(1, inputs) if norm else None
        self.layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=not norm)

    def forward(self, x):
        return F.relu(self.layer(self.norm(x) if self.norm else x))


class FanInLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm = nn.LayerNorm(inputs)
        self.layer = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x):
        return F.relu(self.layer(self.norm(x)))


class Stack(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.first = FanInConv(inputs, outputs, norm=inputs != 3)
        self.norm = nn.GroupNorm(1, outputs)
        pairs = (nn.Sequential(FanInConv(outputs, outputs), FanInConv(outputs, outputs)) for _ in range(2))
        self.blocks = nn.ModuleList(pairs)

    def forward(self, x):
        x = self.norm(F.max_pool2d(self.first(x), 3, 2, 1))
        for block in self.blocks:
            x = x + block(x)
        return x


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.head = heads, width // heads
        self.norm = nn.LayerNorm(width)
        self.query, self.project = nn.Linear(width, width), nn.Linear(width, width)
        self.key, self.value = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.relative = nn.Linear(width, BASES * heads)
        self.bases = nn.Parameter(0.02 * torch.randn(BASES, MEMORY))
        self.widen, self.narrow = FanInLinear(width, 4 * width), nn.Linear(4 * width, width)

    def bias(self, x):
        """[B, H, T, M + T]: a query's bias at each key; rows one too long fall into place when read one by one."""
        batch, length, _ = x.shape
        keys = MEMORY + length
        padded = F.pad(self.bases.flip(1), (1, length))
        weights = self.relative(x).view(batch, length, self.heads, BASES).transpose(1, 2)
        rows = (weights @ padded.to(weights.dtype)).flatten(2)
        return rows[..., : length * keys].view(batch, self.heads, length, keys)

    def forward(self, x, memory, visible):
        x = self.norm(x)
        batch, length, width = x.shape
        keys = torch.cat([memory[0], self.key(x).float()], 1)
        values = torch.cat([memory[1], self.value(x).float()], 1)
        split = lambda rows: rows.view(batch, -1, self.heads, self.head).transpose(1, 2)
        query = self.query(x)
        mask = self.bias(x).masked_fill(~visible, float("-inf")).to(query.dtype)
        attended = F.scaled_dot_product_attention(
            split(query), split(keys.to(query.dtype)), split(values.to(query.dtype)), attn_mask=mask, scale=1 / self.head
        )
        y = x + self.project(attended.transpose(1, 2).reshape(batch, length, width))
        memory = (keys[:, -MEMORY:].detach(), values[:, -MEMORY:].detach())
        return y + self.narrow(self.widen(y)), memory


class Policy(nn.Module):
    def __init__(self, model):
        super().__init__()
        width, multiplier, heads = SIZES[model]
        chans = [3] + [c * multiplier for c in (16, 32, 32)]
        self.stacks = nn.ModuleList(Stack(a, b) for a, b in zip(chans, chans[1:]))
        self.dense, self.linear = FanInLinear(chans[-1] * 16 * 16, 256), FanInLinear(256, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(4))
        self.last, self.final = FanInLinear(width, width), nn.LayerNorm(width)
        self.buttons, self.camera = nn.Linear(width, BUTTONS), nn.Linear(width, CAMERA)
        self.width = width

    def forward(self, frames, memory, visible):
        batch, length = frames.shape[:2]
        x = frames.flatten(0, 1).permute(0, 3, 1, 2).float() / 255  # Frames are channels last already.
        for stack in self.stacks:
            x = stack(x)
        x = self.linear(self.dense(x.flatten(1))).view(batch, length, -1)
        after = []
        for block, rows in zip(self.blocks, memory):
            x, rows = block(x, rows, visible)
            after.append(rows)
        x = self.final(self.last(F.relu(x)))
        return self.buttons(x) / TEMPERATURE, self.camera(x) / TEMPERATURE, after


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="1x", choices=SIZES)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="bf16", choices=["f32", "bf16"])
    for name, default in [("batch", 8), ("time", 128), ("warmup", 3), ("steps", 10)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    device, batch, length = torch.device(args.device), args.batch, args.time

    policy = Policy(args.model).to(device, memory_format=torch.channels_last)
    run = torch.compile(policy) if args.compile else policy
    adam = torch.optim.AdamW(policy.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    frames = torch.randint(0, 256, (batch, length, 128, 128, 3), dtype=torch.uint8, device=device)
    buttons = torch.randint(0, BUTTONS, (batch * length,), device=device)
    camera = torch.randint(0, CAMERA, (batch * length,), device=device)
    zeros = torch.zeros(batch, MEMORY, policy.width, device=device)
    memory = [(zeros, zeros)] * 4
    distance = torch.arange(length, device=device)[:, None] + MEMORY - torch.arange(MEMORY + length, device=device)
    visible = (distance >= 0) & (distance < MEMORY)

    def synchronize():
        if device.type == "cuda":
            torch.cuda.synchronize()

    losses, start = [], 0.0
    for i in range(args.warmup + args.steps):
        if i == args.warmup:
            synchronize()
            start = time.perf_counter()
        adam.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16"):
            of_buttons, of_camera, memory = run(frames, memory, visible)
        loss = F.cross_entropy(of_buttons.flatten(0, 1).float(), buttons)
        loss = loss + F.cross_entropy(of_camera.flatten(0, 1).float(), camera)
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 5.0, foreach=True)
        adam.step()
        losses.append(loss.item())
    synchronize()
    seconds = time.perf_counter() - start
    print(json.dumps({
        "model": args.model, "device": device.type, "precision": args.precision, "batch": batch, "time": length,
        "steps": args.steps, "seconds_per_step": round(seconds / args.steps, 6),
        "frames_per_second": round(batch * length * args.steps / seconds, 2),
        "first_loss": losses[0], "last_loss": losses[-1],
        "parameters": sum(p.numel() for p in policy.parameters()), "torch": torch.__version__,
        "compiled": args.compile,
    }))


main()
