/* What a machine boots of an image, made once from its root directory and kept beside it:
 *
 *   <data>/images/debian/.trixie.boot/kernel   an Image
 *                                     initrd   modules for disks and ext4, and a script that mounts the root
 *                                     root     a file system: the root directory and what makes a system of it
 *                                     disk     the machine's own copy of `root`, which stays; made at its first boot
 *
 * Threads: any. */
#ifndef VM_BOOTABLE_H
#define VM_BOOTABLE_H

#include "vm/vm.h"

/* Owned paths and text, and a file without a name. */
struct bootable {
    char *kernel, *initrd, *disk;
    char *append;  /* the kernel's command line: the image's own, and the VM's */
    int temporary; /* descriptor of the disk that nobody keeps; 0: none */
};

/* GUISE_E_NOTFOUND when the image is not prepared. */
int bootable_open(struct bootable *bootable, const struct guise_vm *vm, struct guise_error *err);
void bootable_release(struct bootable *bootable);

#endif
