# shellcheck shell=bash
# vm/disks: the processor, the memory and the disks of a machine. A change of them makes the saved state anew.
# shellcheck disable=SC2034 # for those that source this one

MEMORY_MIB=2048
CPUS=1 # each emulated one takes a whole processor of the machine, and two of a guest wait for each other
# What takes long in an emulator, guests are not to do: string instructions byte by byte, AVX, more switches of its modes and more levels
# of page tables than needed, pages cleared twice, and a slow clock asked because the fast one was once late. norandmaps: QEMU translates
# a program anew wherever else it is loaded, which takes longer than running it.
CPU=max,-erms,-fsrm,-smap,-smep,-la57,-xsave,-avx,-avx2,-pku
KERNEL="norandmaps mitigations=off clearcpuid=112 init_on_alloc=0 tsc=reliable" # 112: rep_good, Linux arch/x86/include/asm/cpufeatures.h
# The name of a disk, which is its serial too, and its size. On hdd two are mirrored.
DISKS=("nvme 2G" "hdd-a 1536M" "hdd-b 1536M" "iso 512M")
