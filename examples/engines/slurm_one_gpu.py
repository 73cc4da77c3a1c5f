"""SLURM: every job is one node, and every GPU of it works on one cell at a time.

    pestle study STUDY.yaml --engine examples/engines/slurm_one_gpu.py

`pestle study` itself needs little: start it on a login node in tmux, or in a small job that lasts
as long as the study. It submits jobs, and gives them back when there is nothing left to do. What a
job was doing when its time was over goes on in the next one.
"""

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SrunLauncher
from parsl.providers import SlurmProvider

#: GPUs of a node, and cores that belong to one of them.
GPUS, CORES = 4, 8

config = Config(
    executors=[
        HighThroughputExecutor(
            label="slurm",
            max_workers_per_node=GPUS,
            available_accelerators=GPUS,  # each worker sees one, by CUDA_VISIBLE_DEVICES
            cores_per_worker=CORES,
            provider=SlurmProvider(
                partition="gpu",
                account="YOUR_ACCOUNT",
                nodes_per_block=1,
                init_blocks=1,
                max_blocks=8,  # jobs at a time
                walltime="24:00:00",
                exclusive=True,
                scheduler_options=f"#SBATCH --gres=gpu:{GPUS}",
                # What every job needs to find Pestle; a module, conda, or as here a venv. Threads
                # of each of the commands that run side by side:
                worker_init=f"source ~/venv/bin/activate; export OMP_NUM_THREADS={CORES}",
                launcher=SrunLauncher(),
            ),
        )
    ],
    # A cell whose job ended goes on in another one.
    retries=5,
    # Jobs are given back this long (s) after their last cell.
    max_idletime=300,
)
