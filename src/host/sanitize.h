/* What AddressSanitizer must be told about stacks; nothing in other builds. Threads: any. */
#ifndef HOST_SANITIZE_H
#define HOST_SANITIZE_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOST_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HOST_ASAN
#endif

#ifdef HOST_ASAN
void __asan_handle_no_return(void);
void __asan_unpoison_memory_region(const volatile void *start, size_t size);
void __sanitizer_start_switch_fiber(void **save, const void *start, size_t size);
void __sanitizer_finish_switch_fiber(void *saved, const void **old_start, size_t *old_size);
#endif

struct host_stack {
    const void *start;
    size_t size;
};

/* Frames of this stack are about to be left without a return. */
static inline void host_sanitize_leave_frames(void)
{
#ifdef HOST_ASAN
    __asan_handle_no_return();
#endif
}

/* The calling thread runs on another stack from now on, a fresh one or one that it left before. Returns the old one. */
static inline struct host_stack host_sanitize_switch(struct host_stack to, bool fresh)
{
    struct host_stack old = {0};
#ifdef HOST_ASAN
    if (fresh)
        __asan_unpoison_memory_region(to.start, to.size);
    __sanitizer_start_switch_fiber(NULL, to.start, to.size);
    __sanitizer_finish_switch_fiber(NULL, &old.start, &old.size);
#else
    (void)to;
    (void)fresh;
#endif
    return old;
}

#endif
