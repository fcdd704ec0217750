/* Small helpers without state. */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#define ARRAY_SIZE(a)    (sizeof(a) / sizeof((a)[0]))
#define likely(x)        __builtin_expect(!!(x), 1)
#define unlikely(x)      __builtin_expect(!!(x), 0)
#define MIN(a, b)        ((a) < (b) ? (a) : (b))
#define MAX(a, b)        ((a) > (b) ? (a) : (b))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1)) /* `a` a power of two */
#define ALIGN_UP(x, a)   ALIGN_DOWN((x) + (__typeof__(x))(a)-1, a)

#endif
