/* The initial stack of a program: strings, argv, envp, auxiliary vector. Source: RISC-V ELF psABI; getauxval(3). */
#ifndef PROCESS_STACK_H
#define PROCESS_STACK_H

#include "process/elf.h"
#include "process/process.h"

/* Maps the main stack (RLIMIT_STACK, with its guard gap) and fills it; sets p->arg_start.., p->auxv, and *sp.
 * A total of strings over Linux's limit is GUISE_E_EXEC ("argument list too long"). */
int stack_build(struct process *p, const struct elf_image *image, uint64_t *sp, struct guise_error *err);

#endif
