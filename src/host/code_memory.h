/* Memory for code made at run time: the same pages at two addresses, one for writing and one for execution, so that no
 * address is ever both.
 *
 * The pages are an anonymous shared mapping and its duplicate (mremap() of length 0): unlike a memfd that takes no
 * descriptor, which a guest would see, and no file size, which RLIMIT_FSIZE limits. Pages exist from the first write on.
 *
 * A child of fork() does not inherit the mappings: parent and child would write into the same code. It calls
 * host_code_memory_forget() and, when it wants to, maps memory of its own. A child that shares memory (vfork) goes on
 * using it.
 *
 * Threads: any, once it is mapped. Lifetime: host_code_memory_map() ... host_code_memory_unmap().
 * Source: mmap(2), mremap(2), madvise(2) MADV_DONTFORK. */
#ifndef HOST_CODE_MEMORY_H
#define HOST_CODE_MEMORY_H

#include <guise.h>
#include <stddef.h>
#include <stdint.h>

struct host_code_memory {
    uint8_t *write; /* NULL: not mapped */
    uint8_t *exec;
    size_t size;
};

/* `size` bytes, a multiple of the page, below 2 GiB: all of it is in reach of a 32-bit displacement from all of it. */
int host_code_memory_map(struct host_code_memory *memory, size_t size, struct guise_error *err);
void host_code_memory_unmap(struct host_code_memory *memory);

/* In the child after fork(). */
void host_code_memory_forget(struct host_code_memory *memory);

#endif
