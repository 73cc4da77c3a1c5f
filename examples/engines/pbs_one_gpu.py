"""PBS: every job is one node, and every GPU of it works on one cell at a time.

    pestle study STUDY.yaml --engine examples/engines/pbs_one_gpu.py

As slurm_one_gpu.py, for PBS Pro and OpenPBS.
"""

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SingleNodeLauncher
from parsl.providers import PBSProProvider

#: GPUs of a node, and cores that belong to one of them.
GPUS, CORES = 4, 8

config = Config(
    executors=[
        HighThroughputExecutor(
            label="pbs",
            max_workers_per_node=GPUS,
            available_accelerators=GPUS,  # each worker sees one, by CUDA_VISIBLE_DEVICES
            cores_per_worker=CORES,
            provider=PBSProProvider(
                queue="gpu",
                account="YOUR_ACCOUNT",
                nodes_per_block=1,
                cpus_per_node=GPUS * CORES,
                init_blocks=1,
                max_blocks=8,  # jobs at a time
                walltime="24:00:00",
                select_options=f"ngpus={GPUS}",
                # Nodes begin in the home folder; a study's folder is named in full, so that this
                # does not matter. What every job needs to find Pestle, and threads of a command:
                worker_init=f"source ~/venv/bin/activate; export OMP_NUM_THREADS={CORES}",
                launcher=SingleNodeLauncher(),
            ),
        )
    ],
    # A cell whose job ended goes on in another one.
    retries=5,
    # Jobs are given back this long (s) after their last cell.
    max_idletime=300,
)
