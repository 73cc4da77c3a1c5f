"""An allocation of several nodes that you hold already: run this inside of one SLURM job.

    #!/bin/bash
    #SBATCH --nodes=4 --gres=gpu:4 --time=24:00:00
    source ~/venv/bin/activate
    pestle study STUDY.yaml --engine examples/engines/allocation.py

Nothing is submitted. Parsl starts one pool of workers on each node of the job with srun. When the
job's time is over, submit the same job again: what was not finished goes on.
"""

import os

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SrunLauncher
from parsl.providers import LocalProvider

#: GPUs of a node, and cores that belong to one of them. Without GPUs: GPUS = 0, and WORKERS cells
#: at a time on a node.
GPUS, CORES = 4, 8
WORKERS = GPUS or 16
NODES = int(os.environ.get("SLURM_JOB_NUM_NODES", "1"))

config = Config(
    executors=[
        HighThroughputExecutor(
            label="allocation",
            max_workers_per_node=WORKERS,
            available_accelerators=GPUS,  # each worker sees one, by CUDA_VISIBLE_DEVICES
            cores_per_worker=CORES,
            provider=LocalProvider(
                nodes_per_block=NODES,
                init_blocks=1,
                max_blocks=1,
                # One task a node, with all of its cores.
                launcher=SrunLauncher(overrides=f"--ntasks-per-node=1 -c {WORKERS * CORES}"),
                worker_init=f"source ~/venv/bin/activate; export OMP_NUM_THREADS={CORES}",
            ),
        )
    ],
    # A cell whose node died goes on on another one.
    retries=2,
    strategy="none",
)
