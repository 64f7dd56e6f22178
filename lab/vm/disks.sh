# shellcheck shell=bash
# vm/disks: the memory, the processors and the disks of a machine. A change of them makes the saved state anew.
# shellcheck disable=SC2034 # for those that source this one

MEMORY_MIB=2048
CPUS=1 # each emulated one takes a whole processor of the machine, and two of a guest wait for each other
# The name of a disk, which is its serial too, and its size. On hdd two are mirrored.
DISKS=("nvme 2G" "hdd-a 1536M" "hdd-b 1536M" "iso 512M")
