"""The trial of NNI's weight-sharing test, from its contract: the father writes random bytes, slowly and in pieces, and reports their MD5 with
his id, and the path; a child reports the MD5 of what it reads, with its father's id. It knows nothing of sealfs.

share_trial.py PIECES PAUSE [FIFO]: with a FIFO the father, half-way, writes a line to it and stays there.
"""

import hashlib
import os
import random
import sys
import time

import nni


def checksum(path, number):
    digest = hashlib.md5()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(4096), b""):
            digest.update(piece)
    return digest.hexdigest() + str(number)


def write(path, pieces, pause, fifo):
    directory = os.path.dirname(path)
    if not os.path.exists(directory):
        os.makedirs(directory)
    with open(path, "wb") as file:
        for piece in range(pieces):
            file.write(os.urandom(random.randint(1, 10000)))
            file.flush()
            if fifo and piece == pieces // 2:
                with open(fifo, "w") as told:
                    told.write("half\n")
                time.sleep(3600)
            time.sleep(pause)


def main():
    pieces, pause = int(sys.argv[1]), float(sys.argv[2])
    parameters = nni.get_next_parameter()
    if "prev_path" not in parameters:
        path = os.path.join(parameters["save_path"], "model.dat")
        write(path, pieces, pause, sys.argv[3] if len(sys.argv) > 3 else None)
        nni.report_final_result({"checksum": checksum(path, parameters["id"]), "path": path})
    else:
        nni.report_final_result({"checksum": checksum(parameters["prev_path"], parameters["prev_id"])})


main()
