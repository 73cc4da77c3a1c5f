"""SLURM without GPUs: every job is one node, and every core of it works on one cell at a time.

    pestle study STUDY.yaml --engine examples/engines/slurm_cpu.py

For small foundations and small data sets: many commands of one thread each do more together than
one command on many cores. As slurm_one_gpu.py otherwise.
"""

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SingleNodeLauncher
from parsl.providers import SlurmProvider

#: Cells at a time on a node: its cores, or fewer where they need more memory than there is
#: (a small model takes 1 to 2 GB). With THREADS = 4, a quarter of the cores.
WORKERS, THREADS = 64, 1

config = Config(
    executors=[
        HighThroughputExecutor(
            label="slurm",
            max_workers_per_node=WORKERS,
            cores_per_worker=THREADS,
            cpu_affinity="block",  # each worker keeps to its own cores
            provider=SlurmProvider(
                partition="cpu",
                account="YOUR_ACCOUNT",
                nodes_per_block=1,
                cores_per_node=WORKERS * THREADS,
                init_blocks=1,
                max_blocks=4,  # jobs at a time
                walltime="24:00:00",
                # Threads of each of the commands that run side by side:
                worker_init="source ~/venv/bin/activate; "
                f"export OMP_NUM_THREADS={THREADS} MKL_NUM_THREADS={THREADS}",
                launcher=SingleNodeLauncher(),
            ),
        )
    ],
    # A cell whose job ended goes on in another one.
    retries=5,
    # Jobs are given back this long (s) after their last cell.
    max_idletime=300,
)
