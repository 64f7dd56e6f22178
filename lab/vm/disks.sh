# shellcheck shell=bash
# vm/disks: the processor, the memory and the disks of a machine. After a change here the lab makes a new saved state.
# shellcheck disable=SC2034 # the files that source this one use these names

MEMORY_MIB=2048
CPUS=1 # each emulated CPU takes a whole CPU of this machine, and two CPUs of one guest wait for each other
# These settings turn off features that are slow in an emulator.
# CPU: string instructions that work byte by byte, AVX, needless mode switches, needless levels of page tables.
# Kernel: timers finer than its tick (Go sleeps 20 us at a time while it works), auditing of each system call, clearing pages twice, and
# switching to a slow clock because the fast one was late once. Also address space randomization: QEMU would translate a program again at
# each new address, and translating takes longer than running.
CPU=max,-erms,-fsrm,-smap,-smep,-la57,-xsave,-avx,-avx2,-pku
KERNEL="mitigations=off norandmaps nohz=off highres=off audit=0 init_on_alloc=0 hardened_usercopy=off randomize_kstack_offset=off tsc=reliable"
KERNEL+=" clearcpuid=112" # rep_good: Linux arch/x86/include/asm/cpufeatures.h
# NAME SIZE of each disk. The name is also its serial number. hdd is a mirror of two disks.
DISKS=("nvme 2G" "hdd-a 1536M" "hdd-b 1536M" "iso 512M")
