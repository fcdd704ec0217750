#include "host/code_memory.h"

#include "base/error.h"

#include <errno.h>
#include <sys/mman.h>

#define ADVICE "(--engine=interp works without)"

static uint8_t *map_writable(size_t size)
{
    const int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE;
    void *write = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    return write == MAP_FAILED ? NULL : write;
}

static uint8_t *map_again(void *write, size_t size)
{
    void *again = mremap(write, 0, size, MREMAP_MAYMOVE);
    return again == MAP_FAILED ? NULL : again;
}

/* In no child and in no core file. */
static int hide(uint8_t *mapping, size_t size)
{
    madvise(mapping, size, MADV_DONTDUMP);
    return madvise(mapping, size, MADV_DONTFORK);
}

int host_code_memory_map(struct host_code_memory *memory, size_t size, struct guise_error *err)
{
    *memory = (struct host_code_memory){.size = size};
    __atomic_store_n(&memory->write, map_writable(size), __ATOMIC_RELEASE);
    if (!memory->write)
        return error_set_errno(err, GUISE_E_NOMEM, errno, "%zu MiB of addresses for translated code " ADVICE,
                               size >> 20);
    memory->exec = map_again(memory->write, size);
    if (memory->exec && mprotect(memory->exec, size, PROT_READ | PROT_EXEC) == 0 &&
        hide(memory->exec, size) == 0 && hide(memory->write, size) == 0)
        return 0;
    int error = errno;
    host_code_memory_unmap(memory);
    return error_set_errno(err, GUISE_E_SYSTEM, error,
                           "the host does not let Guise make code at run time " ADVICE);
}

void host_code_memory_unmap(struct host_code_memory *memory)
{
    if (memory->exec)
        munmap(memory->exec, memory->size);
    if (memory->write)
        munmap(memory->write, memory->size);
    host_code_memory_forget(memory);
}

void host_code_memory_forget(struct host_code_memory *memory)
{
    *memory = (struct host_code_memory){0};
}
