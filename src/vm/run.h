/* Inside the library: running a VM with a say in when it has started.
 * Threads and lifetime: as guise_vm_exec(). */
#ifndef VM_RUN_H
#define VM_RUN_H

#include <guise.h>

/* guise_vm_exec(), which calls started(context), if not NULL, when nothing can fail any more. */
int vm_exec(struct guise_vm *vm, void (*started)(void *context), void *context, struct guise_error *err);

#endif
