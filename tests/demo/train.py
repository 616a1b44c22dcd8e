#!/usr/bin/python3
"""Trains a small network on handwritten digits; it may start from the weights of an earlier run.

With --restore-dir, the weights of the earlier run's layers are taken over. Layers that it did not have start as the
identity, so a deeper network begins exactly where the shallower one stopped (a network morphism).
"""
import argparse
import os

import torch
from sklearn.datasets import load_digits
from torch import nn


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save-dir", required=True, help="where to save model.pt, after every epoch")
    parser.add_argument("--restore-dir", help="start from the model.pt in this directory")
    parser.add_argument("--layers", type=int, default=1, help="hidden layers")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def digits():
    """1797 images of 8 x 8 pixels: four fifths to train with, one fifth to evaluate with."""
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(images, dtype=torch.float32)[order] / 16
    labels = torch.tensor(labels)[order]
    cut = len(images) * 4 // 5
    return (images[:cut], labels[:cut]), (images[cut:], labels[cut:])


class Network(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(64, 64) for _ in range(layers))
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.out(x)

    def take_over(self, weights):
        for layer in self.hidden:
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.load_state_dict(weights, strict=False)


def evaluate(model, data):
    images, labels = data
    with torch.no_grad():
        scores = model(images)
    loss = nn.functional.cross_entropy(scores, labels).item()
    accuracy = (scores.argmax(1) == labels).float().mean().item()
    return f"accuracy {accuracy:.4f}, loss {loss:.6f}"


def train_epoch(model, optimizer, data, batch):
    images, labels = data
    for part in torch.randperm(len(images)).split(batch):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[part]), labels[part]).backward()
        optimizer.step()


def say(text):
    print(text, flush=True)


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    train, test = digits()
    model = Network(args.layers)
    if args.restore_dir:
        path = os.path.join(args.restore_dir, "model.pt")
        say(f"loading {path}")
        saved = torch.load(path)
        model.take_over(saved["model"])
        say(f"loaded the weights of epoch {saved['epoch']}")
    say(f"before training: {evaluate(model, test)}")

    os.makedirs(args.save_dir, exist_ok=True)
    path = os.path.join(args.save_dir, "model.pt")
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        train_epoch(model, optimizer, train, args.batch)
        torch.save({"epoch": epoch, "model": model.state_dict()}, path)
        say(f"epoch {epoch}: {evaluate(model, test)}")


if __name__ == "__main__":
    main()
