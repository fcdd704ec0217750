/* What a machine boots from an image: a kernel, an initial RAM disk and a disk, made from the image's root directory on first
 * use.
 *
 * Threads: any. */
#ifndef VM_DISK_H
#define VM_DISK_H

#include "vm/vm.h"

/* Owned paths and text. */
struct disk_image {
    char *kernel, *initrd, *disk;
    char *append; /* the kernel's command line: the image's own, and the VM's */
};

int disk_image_open(struct disk_image *image, const struct guise_vm *vm, struct guise_error *err);
void disk_image_release(struct disk_image *image);

#endif
