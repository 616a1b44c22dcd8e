#!/usr/bin/python3
"""A trial of the search of `make bench-nas`: a small network for handwritten digits, and how it takes over another one's weights.

    nas_train.py DATA PARAMETERS STEPS SEED

PARAMETERS is what `sealtuner ask` has printed. If there is a restore_path, the network there is turned into the one that is asked for: wider layers
and additional ones leave the function as it is (as the network morphisms of Elsken, Metzen, Hutter, "Simple and efficient architecture search for
convolutional neural networks", 2017, do), narrower ones keep the units that count most, and layers too many are left out. Then STEPS steps of training, with Adam as it comes and
batches of 64. Prints the accuracy on the validation data, which the search goes by, and on the test data, which nobody looks at.

Several lines in PARAMETERS are so many trials, one after the other: for those that share nothing.
"""

import json
import os
import sys

import numpy
import torch
from torch import nn

INPUTS, CLASSES, BATCH = 64, 10, 64


# ---------------------------------------------------------------- networks

def network(widths):
    layers, inputs = [], INPUTS
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, CLASSES))


def linear_layers(model):
    return [layer for layer in model if isinstance(layer, nn.Linear)]


def set_layer(layer, weight, bias):
    with torch.no_grad():
        layer.weight = nn.Parameter(weight.clone())
        layer.bias = nn.Parameter(bias.clone())
        layer.out_features, layer.in_features = weight.shape


def widen(layer, following, width):
    """Additional units begin as in a new network, and nobody listens to them yet. (Copies of old ones, as in Net2Net, learn the same for long.)"""
    old = layer.out_features
    new = nn.Linear(layer.in_features, width - old)
    outgoing = torch.cat([following.weight, torch.zeros(following.out_features, width - old)], 1)
    set_layer(layer, torch.cat([layer.weight, new.weight]), torch.cat([layer.bias, new.bias]))
    set_layer(following, outgoing, following.bias)


def narrow(layer, following, width):
    weight_of = layer.weight.norm(dim=1) * following.weight.norm(dim=0)
    kept = weight_of.topk(width).indices.sort().values
    set_layer(layer, layer.weight[kept], layer.bias[kept])
    set_layer(following, following.weight[:, kept], following.bias)


def resize(layer, following, width):
    if width > layer.out_features:
        widen(layer, following, width)
    elif width < layer.out_features:
        narrow(layer, following, width)


def grow(model, widths):
    """The network with these widths that computes, as far as it can, what `model` computes."""
    layers = linear_layers(model)
    hidden, out = layers[:-1], layers[-1]
    while len(hidden) > len(widths):
        # what the last hidden layer gives to the next becomes what the one before it gives
        gone = hidden.pop()
        set_layer(out, out.weight @ gone.weight, out.bias + out.weight @ gone.bias)
    while len(hidden) < len(widths):
        width = hidden[-1].out_features
        layer = nn.Linear(width, width)
        set_layer(layer, torch.eye(width), torch.zeros(width))  # after a ReLU, which it leaves as it is
        hidden.append(layer)
    for index, width in enumerate(widths):
        resize(hidden[index], hidden[index + 1] if index + 1 < len(hidden) else out, width)
    child = network(widths)
    for layer, source in zip(linear_layers(child), hidden + [out]):
        set_layer(layer, source.weight, source.bias)
    return child


# ---------------------------------------------------------------- a trial

def accuracy(model, images, labels):
    with torch.no_grad():
        return (model(images).argmax(1) == labels).float().mean().item()


def train(model, data, steps):
    optimizer = torch.optim.Adam(model.parameters())
    count = len(data["train_labels"])
    for _ in range(steps):
        batch = torch.randint(count, (BATCH,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data["train_images"][batch]), data["train_labels"][batch]).backward()
        optimizer.step()


def widths_of(parameters):
    return [parameters["width%d" % (layer + 1)] for layer in range(parameters["layers"])]


def load_data(path):
    with numpy.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def save(model, widths, directory):
    os.makedirs(directory, exist_ok=True)
    torch.save({"widths": widths, "weights": model.state_dict()}, os.path.join(directory, "model.pt"))


def restore(directory):
    saved = torch.load(os.path.join(directory, "model.pt"))
    model = network(saved["widths"])
    model.load_state_dict(saved["weights"])
    return model


def trial(data, parameters, steps, seed):
    torch.manual_seed(seed)
    widths = widths_of(parameters)
    model, inherited = network(widths), None
    if parameters.get("restore_path"):
        model = grow(restore(parameters["restore_path"]), widths)
        inherited = accuracy(model, data["valid_images"], data["valid_labels"])
    train(model, data, steps)
    if "save_path" in parameters:
        save(model, widths, parameters["save_path"])
    return {"inherited": inherited, "accuracy": accuracy(model, data["valid_images"], data["valid_labels"]),
            "test": accuracy(model, data["test_images"], data["test_labels"])}


def main():
    torch.set_num_threads(1)
    data, steps, seed = load_data(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4])
    with open(sys.argv[2]) as file:
        for number, line in enumerate(file):
            print(json.dumps(trial(data, json.loads(line)["parameters"], steps, seed + number)), flush=True)


if __name__ == "__main__":
    main()
