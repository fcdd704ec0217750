/* What sanitizers must be told of stacks that are switched or left, of the guest's memory and of signal handlers; nothing in
 * other builds. Threads: any. */
#ifndef HOST_SANITIZE_H
#define HOST_SANITIZE_H

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOST_ASAN
#endif
#if __has_feature(thread_sanitizer)
#define HOST_TSAN
#define HOST_NO_TSAN __attribute__((disable_sanitizer_instrumentation))
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HOST_ASAN
#elif defined(__SANITIZE_THREAD__)
#define HOST_TSAN
#define HOST_NO_TSAN __attribute__((no_sanitize_thread))
#endif

/* For functions that run in signal handlers, which may have interrupted ThreadSanitizer's run time. */
#ifndef HOST_NO_TSAN
#define HOST_NO_TSAN
#endif

/* For functions that access guest memory as the guest wants it: guest address 0 may be the host's; its races are its own,
 * and a fault inside ThreadSanitizer's run time would leave that locked. */
#define HOST_GUEST_ACCESS HOST_NO_TSAN __attribute__((no_sanitize("null")))

#ifdef HOST_ASAN
void __asan_handle_no_return(void);
void __asan_unpoison_memory_region(const volatile void *start, size_t size);
void __sanitizer_start_switch_fiber(void **save, const void *start, size_t size);
void __sanitizer_finish_switch_fiber(void *saved, const void **old_start, size_t *old_size);
#endif

#ifdef HOST_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_destroy_fiber(void *fiber);
int __clone(int (*main)(void *), void *stack_top, int flags, void *argument, ...);
#endif

struct host_stack {
    const void *start;
    size_t size;
    void *fiber; /* ThreadSanitizer's: the calls under way on this stack, and more */
};

/* Does a sanitizer keep memory of its own, which takes many addresses and is over every limit? */
static inline bool host_sanitize_has_shadow(void)
{
#if defined(HOST_ASAN) || defined(HOST_TSAN)
    return true;
#else
    return false;
#endif
}

/* Does a sanitizer take a thread that was lost by fork() for alive, and die of the next one at its address? */
static inline bool host_sanitize_keeps_lost_threads(void)
{
#ifdef HOST_TSAN
    return true;
#else
    return false;
#endif
}

/* Frames of this stack are about to be left without a return. */
static inline void host_sanitize_leave_frames(void)
{
#ifdef HOST_ASAN
    __asan_handle_no_return();
#endif
}

/* The calling thread runs on another stack from now on, a fresh one or the one that it left for a fresh one, which is then
 * done with. Returns the old one. */
static inline struct host_stack host_sanitize_switch(struct host_stack to, bool fresh)
{
    struct host_stack old = {0};
#ifdef HOST_ASAN
    if (fresh)
        __asan_unpoison_memory_region(to.start, to.size);
    __sanitizer_start_switch_fiber(NULL, to.start, to.size);
    __sanitizer_finish_switch_fiber(NULL, &old.start, &old.size);
#endif
#ifdef HOST_TSAN
    old.fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fresh ? __tsan_create_fiber(0) : to.fiber, 0);
    if (!fresh)
        __tsan_destroy_fiber(old.fiber);
#endif
    (void)to;
    (void)fresh;
    return old;
}

/* clone() for a child in the same memory; its id or -errno. ThreadSanitizer's own takes it for a fork: it would forget all
 * other threads. */
static inline int host_sanitize_clone(int (*main)(void *), void *stack_top, int flags, void *argument,
                                      int *pidfd)
{
#ifdef HOST_TSAN
    int pid = __clone(main, stack_top, flags, argument, pidfd);
#else
    int pid = clone(main, stack_top, flags, argument, pidfd);
#endif
    return pid < 0 ? -errno : pid;
}

#endif
