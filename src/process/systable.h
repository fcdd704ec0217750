/* The rows of the system call table: one description that the pass-through, --strace and the documentation share.
 *
 * syscalls.def has a row for every system call of riscv64 Linux:
 *   PASS(number, name, restart, arguments...)   made by the host's kernel as it is; pointers are checked and translated
 *   CALL(number, name, restart, arguments...)   served by call_NAME()
 *   ANSWER(number, name, errno, arguments...)   always this error
 * An argument is one of the words below. A pointer's word says how many bytes must be the guest's.
 *
 * Threads: all of it is constant. Source: linux/include/uapi/asm-generic/unistd.h; syscalls(2); signal(7) for `restart`. */
#ifndef PROCESS_SYSTABLE_H
#define PROCESS_SYSTABLE_H

#include "process/syscall.h"

/* Whether a call that a handled signal interrupted is begun anew when the handler has SA_RESTART. */
enum restart {
    RESTART_NEVER,   /* EINTR always (or the call does not wait) */
    RESTART_ALWAYS,  /* begun anew */
    RESTART_RECEIVE, /* begun anew unless the socket has SO_RCVTIMEO */
    RESTART_SEND,    /* begun anew unless the socket has SO_SNDTIMEO */
    RESTART_FUTEX,   /* begun anew unless there is a timeout */
    /* EINTR always; and while the call is made there are no other host threads than the guest's: the host's kernel
     * wants it so, or the call changes what each thread has of its own. */
    RESTART_NEVER_ALONE,
};

/* How --strace shows an argument. */
enum arg_print {
    PRINT_NOTHING, /* there is no such argument */
    PRINT_INT,
    PRINT_UINT,
    PRINT_LONG,
    PRINT_SIZE,
    PRINT_HEX,
    PRINT_OCTAL,
    PRINT_FD, /* a directory descriptor too: AT_FDCWD */
    PRINT_SIGNAL,
    PRINT_POINTER,
    PRINT_STRING,
    PRINT_DATA,        /* bytes, as many as another argument (or the result) says */
    PRINT_VECTOR,      /* struct iovec, as many as another argument says */
    PRINT_STRINGS,     /* argv */
    PRINT_ENVIRONMENT, /* envp */
    PRINT_TIME,        /* struct timespec or timeval */
    PRINT_SIGSET,
    PRINT_INT_AT, /* a pointer to one int */
    PRINT_PAIR,   /* a pointer to two ints */
    PRINT_STAT,
    PRINT_ADDRESS, /* struct sockaddr, as long as the next argument says */
    PRINT_FUTEX_OP,
    PRINT_NAMES, /* this and above: names of table (value - PRINT_NAMES), see enum name_table */
};

/* Tables of names for flags and enumerations; strace_names.c. */
enum name_table {
    NAMES_OPEN,
    NAMES_AT,
    NAMES_AT_ACCESS, /* of faccessat2(), where AT_REMOVEDIR's bit is another */
    NAMES_ACCESS,
    NAMES_PROT,
    NAMES_MAP,
    NAMES_MREMAP,
    NAMES_MADVISE,
    NAMES_CLONE,
    NAMES_WAIT,
    NAMES_CLOCK,
    NAMES_SOCKET_FAMILY,
    NAMES_SOCKET_TYPE,
    NAMES_SOCKET_LEVEL,
    NAMES_MSG,
    NAMES_FCNTL,
    NAMES_SEEK,
    NAMES_EPOLL_CTL,
    NAMES_SIGPROCMASK,
    NAMES_RESOURCE,
    NAMES_RANDOM,
    NAMES_PRCTL,
    NAMES_CLOEXEC, /* the O_CLOEXEC and O_NONBLOCK of descriptor-making calls */
    NAMES_IOCTL,
    NAMES_FLOCK,
    NAMES_RENAME,
    NAMES_MFD,
    NAMES_COUNT,
};

/* What an argument is to the pass-through. */
enum arg_class {
    CLASS_VALUE,
    CLASS_FD,
    CLASS_MEASURED,  /* pointer to as much as the kernel finds it to be, `size` bytes at most */
    CLASS_FIXED,     /* pointer to `size` bytes */
    CLASS_COUNTED,   /* pointer to as many elements of `size` bytes as argument `index` says */
    CLASS_COUNTED32, /* the same, the count is 32 bits wide */
    CLASS_BITS,      /* pointer to a bit set of as many bits as argument `index` says */
    CLASS_MESSAGE,   /* pointer to a long and as many bytes as argument `index` says */
};

#define ARG(print, class, index, size) \
    ((uint32_t)(print) | (uint32_t)(class) << 8 | (uint32_t)(index) << 12 | (uint32_t)(size) << 16)
#define ARG_OUT             (1u << 15) /* written by the call: shown after it */
#define ARG_PRINT(arg)      ((arg)&0xff)
#define ARG_CLASS(arg)      ((arg) >> 8 & 0xf)
#define ARG_INDEX(arg)      ((arg) >> 12 & 0x7)
#define ARG_SIZE(arg)       ((arg) >> 16)
#define ARG_IS_POINTER(arg) (ARG_CLASS(arg) >= CLASS_MEASURED)
#define ARG_IS_FD(arg)      (ARG_CLASS(arg) == CLASS_FD)

/* The words of syscalls.def. Values: */
#define NONE         ARG(PRINT_NOTHING, CLASS_VALUE, 0, 0)
#define INT          ARG(PRINT_INT, CLASS_VALUE, 0, 0)
#define UINT         ARG(PRINT_UINT, CLASS_VALUE, 0, 0)
#define LONG         ARG(PRINT_LONG, CLASS_VALUE, 0, 0)
#define SIZE         ARG(PRINT_SIZE, CLASS_VALUE, 0, 0)
#define HEX          ARG(PRINT_HEX, CLASS_VALUE, 0, 0)
#define MODE         ARG(PRINT_OCTAL, CLASS_VALUE, 0, 0)
#define SIGNAL       ARG(PRINT_SIGNAL, CLASS_VALUE, 0, 0)
#define ADDRESS      ARG(PRINT_POINTER, CLASS_VALUE, 0, 0) /* of memory, but not followed */
#define NAMES(table) ARG(PRINT_NAMES + NAMES_##table, CLASS_VALUE, 0, 0)
#define FUTEX_OP     ARG(PRINT_FUTEX_OP, CLASS_VALUE, 0, 0)
#define FD           ARG(PRINT_FD, CLASS_FD, 0, 0)
/* Pointers to a fixed number of bytes: */
#define IN(size)    ARG(PRINT_POINTER, CLASS_FIXED, 0, size)
#define OUT(size)   (ARG(PRINT_POINTER, CLASS_FIXED, 0, size) | ARG_OUT)
#define TIME        ARG(PRINT_TIME, CLASS_FIXED, 0, 16)
#define TIME_OUT    (TIME | ARG_OUT)
#define SIGSET      ARG(PRINT_SIGSET, CLASS_FIXED, 0, 8)
#define SIGSET_OUT  (SIGSET | ARG_OUT)
#define INT_IN      ARG(PRINT_INT_AT, CLASS_FIXED, 0, 4)
#define INT_OUT     (INT_IN | ARG_OUT)
#define PAIR_OUT    (ARG(PRINT_PAIR, CLASS_FIXED, 0, 8) | ARG_OUT)
#define STAT_OUT    (ARG(PRINT_STAT, CLASS_FIXED, 0, 128) | ARG_OUT)
#define STRINGS     ARG(PRINT_STRINGS, CLASS_FIXED, 0, 8)
#define ENVIRONMENT ARG(PRINT_ENVIRONMENT, CLASS_FIXED, 0, 8)
/* Pointers to something whose size the kernel finds out as it goes from the start on (a NUL, a length in the first bytes)
 * and that is no more than a page or so: memory above the guest's limit is not accessible, so the start is enough to look
 * at. Strings are never written. */
#define STRING          ARG(PRINT_STRING, CLASS_FIXED, 0, 1)
#define BLOB            ARG(PRINT_POINTER, CLASS_MEASURED, 0, 4096)
#define SOCKET_NAME     ARG(PRINT_ADDRESS, CLASS_MEASURED, 0, 128)
#define SOCKET_NAME_OUT (SOCKET_NAME | ARG_OUT)
/* Pointers to as much as another argument (0 to 5) says: */
#define DATA(index)              ARG(PRINT_DATA, CLASS_COUNTED, index, 1)
#define DATA_OUT(index)          (DATA(index) | ARG_OUT)
#define ARRAY(index, size)       ARG(PRINT_POINTER, CLASS_COUNTED, index, size)
#define ARRAY_OUT(index, size)   (ARRAY(index, size) | ARG_OUT)
#define ARRAY32(index, size)     ARG(PRINT_POINTER, CLASS_COUNTED32, index, size)
#define ARRAY32_OUT(index, size) (ARRAY32(index, size) | ARG_OUT)
#define VECTOR(index)            ARG(PRINT_VECTOR, CLASS_COUNTED, index, 16)
#define VECTOR_OUT(index)        (VECTOR(index) | ARG_OUT)
#define BITS(index)              ARG(PRINT_POINTER, CLASS_BITS, index, 0)
#define MESSAGE(index)           ARG(PRINT_POINTER, CLASS_MESSAGE, index, 0)

struct syscall_row {
    const char *name;      /* NULL: the number is not known */
    syscall_fn *handler;   /* NULL: `host` or `error` */
    int16_t host;          /* the host's number, -1 without */
    uint8_t error;         /* an errno */
    uint8_t restart;       /* enum restart */
    uint8_t pointers, fds; /* which arguments are: bit i for argument i */
    uint32_t arg[6];       /* ARG(...), NONE from the first missing one on */
};

#define SYSCALL_COUNT 463

/* The row of a number; one without a name when Linux 6.12 has no such call. */
const struct syscall_row *syscall_row(uint64_t number);

/* call_NAME() for every CALL row. */
#define PASS(number, name, ...)
#define CALL(number, name, ...) syscall_fn call_##name;
#define ANSWER(number, name, ...)
#include "process/syscalls.def"
#undef PASS
#undef CALL
#undef ANSWER

#endif
