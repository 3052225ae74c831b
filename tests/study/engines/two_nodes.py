"""A Ray cluster of two nodes on this machine, on loopback; run as a script.

It prints its address, and then does what each line on stdin says: "kill" kills all processes of
the second node with signal 9, "add" starts another. It ends, with all its nodes, at the end of
stdin.
"""

import os
import sys
from pathlib import Path

MEMORY = 100 * 2**20


def main():
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": sys.argv[1]}
    from ray.cluster_utils import Cluster  # after what it reads from the environment

    common = {"num_cpus": 1, "object_store_memory": MEMORY, "node_ip_address": "127.0.0.1"}
    Path(sys.argv[1], "ray").mkdir()  # Cluster writes its address there before it makes it
    head = common | {"include_dashboard": False, "num_gpus": 1}  # it only counts them
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        second = cluster.add_node(**common)
        print(cluster.address, flush=True)
        for line in sys.stdin:
            if line.strip() == "kill":
                cluster.remove_node(second, allow_graceful=False)
            else:
                second = cluster.add_node(**common)
            print("done", flush=True)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
