/* Loads riscv64 ELF programs into an address space.
 * Source: ELF-64 Object File Format; RISC-V ELF psABI; linux fs/binfmt_elf.c's behaviour. */
#ifndef PROCESS_ELF_H
#define PROCESS_ELF_H

#include "process/mm.h"

#include <guise.h>
#include <stdint.h>

struct elf_image {
    uint64_t entry;         /* where to start: the loader's entry when there is one */
    uint64_t program_entry; /* AT_ENTRY */
    uint64_t base;          /* AT_BASE: where the loader was put, 0 without */
    uint64_t phdr;          /* AT_PHDR */
    uint64_t phnum;         /* AT_PHNUM */
    uint64_t brk;           /* end of the program's data: where the heap starts, page aligned */
    uint64_t start_code, end_code;
    bool executable_stack; /* PT_GNU_STACK asks for it, or is missing */
};

enum elf_kind {
    ELF_RISCV64, /* a program that Guise runs */
    ELF_OTHER,   /* an ELF file of another machine or class */
    ELF_SCRIPT,  /* starts with #! */
    ELF_NONE,    /* nothing of these */
};

/* What the file behind `fd` is, by its first bytes. `why` gets a description of ELF_OTHER ("an x86-64 program"). */
enum elf_kind elf_identify(int fd, char *why, size_t why_size);

/* Maps the program in `fd` and its PT_INTERP loader (searched in sysroot_fd first, -1: none). `path` is for
 * messages. */
int elf_load(struct mm *mm, int fd, const char *path, int sysroot_fd, const char *sysroot,
             struct elf_image *image, struct guise_error *err);

#endif
