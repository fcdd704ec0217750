/* Puts what a machine starts with into its memory, and says where harts begin:
 *
 *   LAYOUT_RAM             firmware (--bios), if any
 *   + text_offset          the kernel, an Image (usually LAYOUT_RAM + 2 MiB)
 *   ...
 *   below the device tree  the initial RAM disk
 *   top of RAM             the device tree, in the last 2 MiB of RAM or of its first 2 GiB
 *
 * ELF files go where their program headers say.
 * Threads: none. Lifetime: none.
 * Source: Linux, Documentation/arch/riscv/{boot,boot-image-header}.rst; OpenSBI, docs/firmware/fw_dynamic.md,
 * include/sbi/fw_dynamic.h; System V ABI, "Program Header". */
#ifndef MACHINE_LOADER_H
#define MACHINE_LOADER_H

#include "machine/board.h"

struct loader_files {
    const char *kernel; /* path; NULL: none, with `bios` alone */
    const char *initrd; /* NULL: none */
    const char *bios;   /* an M-mode program; NULL: the kernel starts at once */
    const char *append; /* the kernel's command line; NULL: none */
};

/* What a hart starts with; a0 is its number. */
struct loader_start {
    uint64_t pc, tree; /* gpa; `tree` is its a1 */
    uint64_t info;     /* a2: OpenSBI's fw_dynamic_info */
};

int loader_load(const struct board *board, const struct loader_files *files, struct loader_start *start,
                struct guise_error *err);

/* Writes the device tree alone to a file. */
int loader_dump_tree(const struct board *board, const struct loader_files *files, const char *path,
                     struct guise_error *err);

#endif
