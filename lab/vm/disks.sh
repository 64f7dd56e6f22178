# shellcheck shell=bash
# vm/disks: the processor, the memory and the disks of a machine. A change of them makes the saved state anew.
# shellcheck disable=SC2034 # for those that source this one

MEMORY_MIB=2048
CPUS=1 # each emulated one takes a whole processor of the machine, and two of a guest wait for each other
# What takes long in an emulator, guests are not to do. Of the processor: string instructions byte by byte, AVX, more switches of its modes
# and more levels of page tables than needed. Of the kernel: timers finer than its tick (Go sleeps 20 us at a time while it works), a look at
# each system call by audit, pages cleared twice, a slow clock asked because the fast one was once late; and programs loaded each time
# elsewhere, which QEMU then translates anew, and that takes longer than running them.
CPU=max,-erms,-fsrm,-smap,-smep,-la57,-xsave,-avx,-avx2,-pku
KERNEL="mitigations=off norandmaps nohz=off highres=off audit=0 init_on_alloc=0 hardened_usercopy=off randomize_kstack_offset=off tsc=reliable"
KERNEL+=" clearcpuid=112" # rep_good: Linux arch/x86/include/asm/cpufeatures.h
# The name of a disk, which is its serial too, and its size. On hdd two are mirrored.
DISKS=("nvme 2G" "hdd-a 1536M" "hdd-b 1536M" "iso 512M")
