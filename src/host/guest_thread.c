#include "host/guest_thread.h"

#include "base/util.h"
#include "host/sanitize.h"
#include "host/syscall.h"

#include <asm/prctl.h>
#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define GUARD          ((size_t)4096)
#define RETURN_BYTES   ((size_t)64 << 10)
#define RETURN_ABOVE   ((size_t)64)
#define INTERRUPT_CODE (-0x6775)          /* which no kernel gives */
#define SIGNAL_BYTES   ((size_t)32 << 10) /* beside what the host's frame takes */

static size_t signal_bytes(void)
{
    return ALIGN_UP(SIGNAL_BYTES + getauxval(AT_MINSIGSTKSZ), GUARD);
}

static size_t mapping_bytes(void)
{
    return GUARD + RETURN_BYTES + GUARD + signal_bytes();
}

static uint8_t *signal_stack(const struct host_guest_thread *thread)
{
    return thread->mapping + GUARD + RETURN_BYTES + GUARD;
}

static void *map(size_t size)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    return mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
}

static struct host_return_stack stack_at(uint8_t *guard)
{
    return (struct host_return_stack){guard, (uint64_t *)(guard + GUARD + RETURN_BYTES - RETURN_ABOVE)};
}

int host_return_stack_map(struct host_return_stack *stack)
{
    uint8_t *mapping = map(GUARD + RETURN_BYTES);
    if (mapping == MAP_FAILED)
        return -errno;
    *stack = stack_at(mapping);
    if (mprotect(mapping, GUARD, PROT_NONE) == 0)
        return 0;
    int error = errno;
    host_return_stack_unmap(stack);
    return -error;
}

void host_return_stack_unmap(struct host_return_stack *stack)
{
    if (stack->guard)
        munmap(stack->guard, GUARD + RETURN_BYTES);
    stack->guard = NULL;
}

int host_guest_thread_map(struct host_guest_thread *thread)
{
    uint8_t *mapping = map(mapping_bytes());
    if (mapping == MAP_FAILED)
        return -errno;
    thread->mapping = mapping;
    if (mprotect(mapping, GUARD, PROT_NONE) || mprotect(mapping + GUARD + RETURN_BYTES, GUARD, PROT_NONE)) {
        int error = errno;
        host_guest_thread_unmap(thread);
        return -error;
    }
    thread->returns = stack_at(mapping);
    return 0;
}

void host_guest_thread_unmap(struct host_guest_thread *thread)
{
    if (thread->mapping)
        munmap(thread->mapping, mapping_bytes());
    thread->mapping = NULL;
}

void host_guest_thread_enter(struct host_guest_thread *thread, uint64_t base)
{
    const stack_t stack = {.ss_sp = signal_stack(thread), .ss_size = signal_bytes()};
    sigaltstack(&stack, &thread->outer);
    host_guest_thread_fork_child(thread);
    if (base)
        host_syscall(SYS_arch_prctl, ARCH_SET_GS, (long)base, 0, 0, 0, 0);
}

void host_guest_thread_leave(struct host_guest_thread *thread)
{
    sigaltstack(&thread->outer, NULL);
}

void host_guest_thread_fork_child(struct host_guest_thread *thread)
{
    thread->pid = (int)host_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
    thread->tid = (int)host_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

void host_guest_thread_interrupt(int pid, int tid)
{
    const siginfo_t info = {.si_signo = SIGTRAP, .si_code = INTERRUPT_CODE};
    host_syscall(SYS_rt_tgsigqueueinfo, pid, tid, SIGTRAP, (long)&info, 0, 0);
}

HOST_NO_TSAN bool host_guest_thread_interrupted(const siginfo_t *info)
{
    return info->si_code == INTERRUPT_CODE;
}

HOST_NO_TSAN bool host_guest_thread_overflows(const struct host_guest_thread *thread, uint64_t address,
                                              uint64_t sp)
{
    return thread->mapping && address - (uint64_t)thread->returns.guard < GUARD &&
           address == sp - sizeof(uint64_t);
}
