"""
stores.py NAME

Speaks for a store that comes from PyPI: reads questions as lines of JSON,
{"store": path} or {"get": true}, and answers with bytes that are new and seconds.
Says "ready" first, or why it cannot.  Works in the folder that it is started in.
"""
import json
import os
import shutil
import subprocess
import sys
import time

from harness import folder_bytes


def run(*command, cwd=None):
    subprocess.run(command, check=True, cwd=cwd, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


class Zipnn:
    """A compressor: every version by itself."""

    def __init__(self):
        import importlib.metadata
        import zipnn
        self.version = "zipnn " + importlib.metadata.version("zipnn")
        self.module = zipnn

    def store(self, path):
        with open(path, "rb") as file:
            data = bytearray(file.read())
        dtype = "bfloat16" if "bf16" in os.path.basename(path) else "float32"
        self.packer = self.module.ZipNN(bytearray_dtype=dtype, input_format="byte",
                                        threads=1)
        began = time.perf_counter()
        self.packed = self.packer.compress(data)
        return len(self.packed), time.perf_counter() - began

    def get(self):
        began = time.perf_counter()
        self.packer.decompress(self.packed)
        return time.perf_counter() - began


class Tool:
    """A program that keeps files in a folder."""

    def __init__(self):
        self.work = os.path.abspath(type(self).__name__.lower())
        os.mkdir(self.work)
        self.file = os.path.join(self.work, "model.safetensors")
        self.prepare()

    def store(self, path):
        shutil.copyfile(path, self.file)
        before = folder_bytes(self.kept)
        began = time.perf_counter()
        self.keep()
        return folder_bytes(self.kept) - before, time.perf_counter() - began

    def git(self, *arguments):
        run("git", "-c", "user.name=bench", "-c", "user.email=bench@localhost",
            *arguments, cwd=self.work)


class Dvc(Tool):
    def prepare(self):
        import dvc
        self.version = "dvc " + dvc.__version__
        self.program = os.path.join(os.path.dirname(sys.executable), "dvc")
        run(self.program, "init", "--no-scm", "-q", cwd=self.work)
        self.kept = os.path.join(self.work, ".dvc")

    def keep(self):
        run(self.program, "add", "-q", self.file, cwd=self.work)

    def get(self):
        os.unlink(self.file)
        began = time.perf_counter()
        run(self.program, "checkout", "-q", cwd=self.work)
        return time.perf_counter() - began


class Mlflow(Tool):
    def prepare(self):
        import mlflow
        self.version = "mlflow " + mlflow.__version__
        self.mlflow = mlflow
        self.kept = os.path.join(self.work, "runs")
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
        mlflow.set_tracking_uri("file:" + self.kept)

    def keep(self):
        with self.mlflow.start_run() as run_:
            self.mlflow.log_artifact(self.file)
            self.run_id = run_.info.run_id

    def get(self):
        began = time.perf_counter()
        target = os.path.join(self.work, "out")
        path = self.mlflow.artifacts.download_artifacts(
            run_id=self.run_id, artifact_path="model.safetensors", dst_path=target)
        with open(path, "rb") as file:
            file.read()
        return time.perf_counter() - began


class GitTheta(Tool):
    """Knows the tensors of a checkpoint, and git-lfs keeps them."""

    def prepare(self):
        import importlib.metadata
        self.version = "git-theta " + importlib.metadata.version("git-theta")
        os.environ.update(HOME=self.work, PATH=os.path.dirname(sys.executable)
                          + os.pathsep + os.environ["PATH"])
        self.git("init", "-q")
        run("git", "lfs", "install", "--local", cwd=self.work)
        run("git-theta", "install", cwd=self.work)
        run("git-theta", "track", "--checkpoint_type", "safetensors",
            "model.safetensors", cwd=self.work)
        self.kept = os.path.join(self.work, ".git")

    def keep(self):
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "version")

    def get(self):
        os.unlink(self.file)
        began = time.perf_counter()
        self.git("checkout", "-f", "-q", "HEAD")
        return time.perf_counter() - began


STORES = {"zipnn": Zipnn, "dvc": Dvc, "mlflow": Mlflow, "git-theta": GitTheta}


def main(name):
    try:
        store = STORES[name]()
    except (ImportError, OSError, subprocess.CalledProcessError) as e:
        print("missing:", e)
        return
    print("ready", store.version, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "store" in question:
                new, seconds = store.store(question["store"])
                answer = {"bytes": new, "seconds": seconds}
            else:
                answer = {"seconds": store.get()}
        except subprocess.CalledProcessError as e:
            answer = {"error": str(e)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
