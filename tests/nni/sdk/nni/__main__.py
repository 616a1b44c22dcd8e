"""python3 -m nni --exp_params BASE64: the dispatcher, which the manager starts, and which holds the tuner."""

import argparse
import base64
import importlib
import json
import logging
import os
import queue
import sys
import threading

from nni.channel import Pipe, WebSocket
from nni.tools.package_utils import create_builtin_class_instance


class Dispatcher:
    def __init__(self, channel, tuner):
        self.channel, self.tuner = channel, tuner
        self.next_id, self.parameters = 0, {}
        self.failed = False
        # a trial's end goes through the second one, its result through the first: the end can be handled before the result
        self.queues = [queue.Queue(), queue.Queue()]
        self.workers = [threading.Thread(target=self.work, args=(one,)) for one in self.queues]

    def run(self):
        for worker in self.workers:
            worker.start()
        while not self.failed:
            command, text = self.channel.receive()
            if command in (None, "TE"):
                break
            if command == "PI":
                continue
            self.queues[command == "EN"].put((command, json.loads(text) if text else None))
        for one in self.queues:
            one.put(None)
        for worker in self.workers:
            worker.join()

    def work(self, commands):
        handlers = {"IN": self.initialize, "GE": self.request, "SS": self.tuner.update_search_space, "ME": self.metric, "EN": self.end,
                    "FD": self.tuner.import_data}
        for command, data in iter(commands.get, None):
            try:
                handlers[command](data)
            except Exception:
                logging.exception("command %s", command)
                self.failed = True
                self.channel.send("ER", "")
                return

    def initialize(self, search_space):
        self.tuner.update_search_space(search_space)
        self.channel.send("ID", "")

    def new_trial(self, parameter_id, parameters):
        self.parameters[parameter_id] = parameters
        self.channel.send("TR", json.dumps({"parameter_id": parameter_id, "parameter_source": "algorithm", "parameters": parameters,
                                            "parameter_index": 0}))

    def request(self, count):
        ids = list(range(self.next_id, self.next_id + count))
        self.next_id += count
        several = self.tuner.generate_multiple_parameters(ids, st_callback=self.new_trial)
        for parameter_id, parameters in zip(ids, several):
            self.new_trial(parameter_id, parameters)
        if len(several) < len(ids):
            self.channel.send("NO", json.dumps({"parameter_id": ids[0], "parameters": ""}))

    def metric(self, data):
        if data["type"] == "FINAL":
            parameter_id = data["parameter_id"]
            self.tuner.receive_trial_result(parameter_id, self.parameters[parameter_id], json.loads(data["value"]), customized=False,
                                            trial_job_id=data["trial_job_id"])

    def end(self, data):
        self.tuner.trial_end(json.loads(data["hyper_params"])["parameter_id"], data["event"] == "SUCCEEDED")


def create(config):
    """By its name, or customised: codeDirectory, className, classArgs."""
    arguments = config.get("classArgs") or {}
    if "name" in config:
        return create_builtin_class_instance(config["name"], arguments, "tuners")
    sys.path.append(config["codeDirectory"])
    module, name = config["className"].rsplit(".", 1)
    return getattr(importlib.import_module(module), name)(**arguments)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--exp_params", required=True)
    config = json.loads(base64.b64decode(parser.parse_args().exp_params))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    tuner = create(config["tuner"])
    url = os.environ.get("NNI_TUNER_COMMAND_CHANNEL")
    dispatcher = Dispatcher(WebSocket(url) if url else Pipe(), tuner)
    dispatcher.run()
    if dispatcher.failed:
        tuner._on_error()
    else:
        tuner._on_exit()
    sys.exit(dispatcher.failed)


main()
