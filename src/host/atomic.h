/* What C11 atomics do not offer of the host: a 16-byte compare-and-swap without a library's lock, the cheapest look at a
 * flag, and the spin hint. */
#ifndef HOST_ATOMIC_H
#define HOST_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

/* Sequentially consistent. `to` is aligned to 16 bytes; `expected` gets what was there. Any x86-64 processor of after 2006. */
static inline bool host_compare_exchange_16(void *to, uint64_t expected[2], const uint64_t desired[2])
{
    bool equal;
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@cce"(equal), "+m"(*(uint64_t(*)[2])to), "+a"(expected[0]), "+d"(expected[1])
                     : "b"(desired[0]), "c"(desired[1])
                     : "memory");
    return equal;
}

/* Is a 32-bit flag, an lvalue, nonzero? A relaxed load and its comparison in one instruction, which compilers do not make
 * of an atomic load; not a function, for then they would keep its address in a register. */
#define host_is_set(flag)                                             \
    ({                                                                \
        bool set_;                                                    \
        __asm__ volatile("cmpl $0, %1" : "=@ccne"(set_) : "m"(flag)); \
        set_;                                                         \
    })

static inline void host_pause(void)
{
    __builtin_ia32_pause();
}

#endif
