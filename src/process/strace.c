/* Writes the lines of --strace. */
#include "process/strace.h"
#include "process/own_fds.h"

#include "process/serve.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "process/guest_abi.h"

enum {
    SHOWN_BYTES = 32, /* of a string or buffer */
    SHOWN_ELEMENTS = 16,
};

/* ---- Text ---- */

/* The last bytes are kept for the end of the line. */
enum { ROOM_FOR_RESULT = 160 };

static void add_list(struct strace_line *line, size_t room, const char *format, va_list list)
{
    if (line->length >= room)
        return;
    int n = vsnprintf(line->text + line->length, room - line->length, format, list);
    if (n > 0)
        line->length = MIN(line->length + (size_t)n, room - 1);
}

static __attribute__((format(printf, 2, 3))) void add(struct strace_line *line, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_list(line, sizeof line->text - ROOM_FOR_RESULT, format, list);
    va_end(list);
}

static __attribute__((format(printf, 2, 3))) void add_end(struct strace_line *line, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_list(line, sizeof line->text, format, list);
    va_end(list);
}

static void write_line(const struct strace_line *line, struct thread *t)
{
    const struct process *p = t->process;
    char prefix[32] = "";
    if (p->several || p->thread_count > 1)
        snprintf(prefix, sizeof prefix, "[pid %5d] ", t->tid);
    const struct iovec parts[] = {{prefix, strlen(prefix)},
                                  {(char *)(uintptr_t)line->text, line->length},
                                  {(char *)(uintptr_t) "\n", 1}};
    own_fds_report(p, parts, ARRAY_SIZE(parts));
}

/* ---- Values ---- */

static void add_pointer(struct strace_line *line, uint64_t gva)
{
    if (gva)
        add(line, "%#llx", (unsigned long long)gva);
    else
        add(line, "NULL");
}

static void add_byte(struct strace_line *line, unsigned char byte)
{
    static const char plain[] = "abtnvfr"; /* 7 to 13; strace(1) writes \a and \b in octal */
    if (byte == '"' || byte == '\\')
        add(line, "\\%c", byte);
    else if (byte >= ' ' && byte < 0x7f)
        add(line, "%c", byte);
    else if (byte >= '\t' && byte <= '\r')
        add(line, "\\%c", plain[byte - '\a']);
    else
        add(line, "\\%o", byte);
}

static void add_bytes(struct strace_line *line, const struct thread *t, uint64_t gva, uint64_t size)
{
    unsigned char bytes[SHOWN_BYTES];
    uint64_t n = MIN(size, sizeof bytes);
    if (!gva || copy_from_guest(t, bytes, gva, n)) {
        add_pointer(line, gva);
        return;
    }
    add(line, "\"");
    for (uint64_t i = 0; i < n; i++)
        add_byte(line, bytes[i]);
    add(line, size > n ? "\"..." : "\"");
}

static void add_string(struct strace_line *line, const struct thread *t, uint64_t gva)
{
    char text[PATH_SIZE];
    long length = gva ? copy_string_from_guest(t, text, gva, sizeof text) : -EFAULT;
    if (length == -ENAMETOOLONG)
        length = sizeof text;
    if (length < 0) {
        add_pointer(line, gva);
        return;
    }
    add(line, "\"");
    for (long i = 0; i < length; i++)
        add_byte(line, (unsigned char)text[i]);
    add(line, "\"");
}

static void add_strings(struct strace_line *line, const struct thread *t, uint64_t gva)
{
    uint64_t string = 0;
    if (!gva || copy_from_guest(t, &string, gva, sizeof string)) {
        add_pointer(line, gva);
        return;
    }
    add(line, "[");
    for (int i = 0; string; i++) {
        add(line, i ? ", " : "");
        if (i == SHOWN_ELEMENTS) {
            add(line, "...");
            break;
        }
        add_string(line, t, string);
        gva += sizeof string;
        if (copy_from_guest(t, &string, gva, sizeof string))
            break;
    }
    add(line, "]");
}

static void add_environment(struct strace_line *line, const struct thread *t, uint64_t gva)
{
    uint64_t string;
    unsigned count = 0;
    add_pointer(line, gva);
    while (gva && !copy_from_guest(t, &string, gva + count * sizeof string, sizeof string) && string)
        count++;
    add(line, " /* %u vars */", count);
}

static void add_vector(struct strace_line *line, const struct thread *t, uint64_t gva, uint64_t count,
                       int64_t result, bool out)
{
    struct iovec vector;
    uint64_t left = result > 0 ? (uint64_t)result : 0;
    if (!gva || count > VECTOR_MAX) {
        add_pointer(line, gva);
        return;
    }
    add(line, "[");
    for (uint64_t i = 0; i < count && !copy_from_guest(t, &vector, gva + i * sizeof vector, sizeof vector);
         i++) {
        add(line, i ? ", " : "");
        if (i == SHOWN_ELEMENTS) {
            add(line, "...");
            break;
        }
        uint64_t size = out ? MIN(left, vector.iov_len) : vector.iov_len;
        left -= MIN(left, vector.iov_len);
        add(line, "{iov_base=");
        add_bytes(line, t, (uint64_t)vector.iov_base, size);
        add(line, ", iov_len=%zu}", vector.iov_len);
    }
    add(line, "]");
}

static void add_time(struct strace_line *line, const struct thread *t, uint64_t gva)
{
    struct timespec time;
    if (!gva || copy_from_guest(t, &time, gva, sizeof time))
        add_pointer(line, gva);
    else
        add(line, "{tv_sec=%lld, tv_nsec=%ld}", (long long)time.tv_sec, time.tv_nsec);
}

static void add_signal(struct strace_line *line, int number)
{
    const char *name = number > 0 && number < 32 ? sigabbrev_np(number) : NULL;
    if (name)
        add(line, "SIG%s", name);
    else if (number >= 32 && number <= GUEST_NSIG)
        add(line, "SIGRT_%d", number - 32);
    else
        add(line, "%d", number);
}

static void add_sigset(struct strace_line *line, const struct thread *t, uint64_t gva)
{
    uint64_t set;
    if (!gva || copy_from_guest(t, &set, gva, sizeof set)) {
        add_pointer(line, gva);
        return;
    }
    bool inverse = __builtin_popcountll(set) > 32;
    const char *separator = "";
    add(line, inverse ? "~[" : "[");
    for (uint64_t left = inverse ? ~set : set; left; left &= left - 1) {
        int number = __builtin_ctzll(left) + 1;
        const char *name = number < 32 ? sigabbrev_np(number) : NULL;
        if (name)
            add(line, "%s%s", separator, name);
        else
            add(line, "%sRT_%d", separator, number - 32);
        separator = " ";
    }
    add(line, "]");
}

static void add_ints(struct strace_line *line, const struct thread *t, uint64_t gva, unsigned count)
{
    int32_t value[2];
    if (!gva || copy_from_guest(t, value, gva, count * sizeof *value))
        add_pointer(line, gva);
    else if (count == 1)
        add(line, "[%d]", value[0]);
    else
        add(line, "[%d, %d]", value[0], value[1]);
}

static const char *file_type(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG: return "S_IFREG";
    case S_IFDIR: return "S_IFDIR";
    case S_IFLNK: return "S_IFLNK";
    case S_IFCHR: return "S_IFCHR";
    case S_IFBLK: return "S_IFBLK";
    case S_IFIFO: return "S_IFIFO";
    case S_IFSOCK: return "S_IFSOCK";
    default: return "0";
    }
}

static void add_stat(struct strace_line *line, const struct thread *t, uint64_t gva)
{
    struct guest_stat s;
    if (!gva || copy_from_guest(t, &s, gva, sizeof s))
        add_pointer(line, gva);
    else if (S_ISCHR(s.mode) || S_ISBLK(s.mode))
        add(line, "{st_mode=%s|%#o, st_rdev=%#llx, ...}", file_type(s.mode), s.mode & ~(uint32_t)S_IFMT,
            (unsigned long long)s.rdev);
    else
        add(line, "{st_mode=%s|%#o, st_size=%lld, ...}", file_type(s.mode), s.mode & ~(uint32_t)S_IFMT,
            (long long)s.size);
}

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

static void add_local_address(struct strace_line *line, const struct sockaddr_un *un, size_t size)
{
    size_t length = size - offsetof(struct sockaddr_un, sun_path);
    bool abstract = length && !un->sun_path[0];
    if (!abstract)
        length = strnlen(un->sun_path, length);
    add(line, abstract ? "sun_path=@\"" : "sun_path=\"");
    for (size_t i = abstract; i < length; i++)
        add_byte(line, (unsigned char)un->sun_path[i]);
    add(line, "\"");
}

static void add_address(struct strace_line *line, const struct thread *t, uint64_t gva, uint64_t size)
{
    union address a = {.any = {0}};
    char text[INET6_ADDRSTRLEN];
    size = MIN(size, sizeof a);
    if (!gva || size < sizeof a.any.sa_family || copy_from_guest(t, &a, gva, size)) {
        add_pointer(line, gva);
        return;
    }
    char family[24];
    strace_names(NAMES_SOCKET_FAMILY, a.any.sa_family, family, sizeof family);
    add(line, "{sa_family=%s", family);
    if (a.any.sa_family == AF_UNIX && size > sizeof a.any.sa_family) {
        add(line, ", ");
        add_local_address(line, &a.un, size);
    } else if (a.any.sa_family == AF_INET) {
        add(line, ", sin_port=htons(%u), sin_addr=inet_addr(\"%s\")", ntohs(a.in.sin_port),
            inet_ntop(AF_INET, &a.in.sin_addr, text, sizeof text));
    } else if (a.any.sa_family == AF_INET6) {
        add(line, ", sin6_port=htons(%u), inet_pton(AF_INET6, \"%s\")", ntohs(a.in6.sin6_port),
            inet_ntop(AF_INET6, &a.in6.sin6_addr, text, sizeof text));
    }
    add(line, "}");
}

static void add_futex_op(struct strace_line *line, uint32_t operation)
{
    static const char *const names[] = {"WAIT",           "WAKE",        "FD",          "REQUEUE",
                                        "CMP_REQUEUE",    "WAKE_OP",     "LOCK_PI",     "UNLOCK_PI",
                                        "TRYLOCK_PI",     "WAIT_BITSET", "WAKE_BITSET", "WAIT_REQUEUE_PI",
                                        "CMP_REQUEUE_PI", "LOCK_PI2"};
    uint32_t command = operation & 0x7f;
    if (command < ARRAY_SIZE(names))
        add(line, "FUTEX_%s", names[command]);
    else
        add(line, "%#x", command);
    if (operation & 0x80)
        add(line, "_PRIVATE");
    if (operation & 0x100)
        add(line, "|FUTEX_CLOCK_REALTIME");
}

static void add_names(struct strace_line *line, unsigned table, uint64_t value)
{
    char text[256];
    strace_names((enum name_table)table, value, text, sizeof text);
    add(line, "%s", text);
}

/* ---- Arguments ---- */

/* How long a socket address is: the next argument says it, or points to it. */
static uint64_t address_size(const struct thread *t, const struct syscall_row *row,
                             const struct sysargs *args, unsigned i)
{
    uint32_t size = 0;
    if (i + 1 >= ARRAY_SIZE(args->a))
        return 0;
    if (!ARG_IS_POINTER(row->arg[i + 1]))
        return (uint32_t)args->a[i + 1];
    return copy_from_guest(t, &size, args->a[i + 1], sizeof size) ? 0 : size;
}

static void add_argument(struct strace_line *line, const struct thread *t, const struct syscall_row *row,
                         const struct sysargs *args, unsigned i, int64_t result)
{
    uint32_t arg = row->arg[i];
    uint64_t value = args->a[i], counted = args->a[ARG_INDEX(arg)];
    bool out = arg & ARG_OUT;
    if (out && result < 0) {
        add_pointer(line, value);
        return;
    }
    switch (ARG_PRINT(arg)) {
    case PRINT_INT: add(line, "%d", (int)value); break;
    case PRINT_UINT: add(line, "%u", (unsigned)value); break;
    case PRINT_LONG: add(line, "%lld", (long long)value); break;
    case PRINT_SIZE: add(line, "%llu", (unsigned long long)value); break;
    case PRINT_HEX: add(line, "%#llx", (unsigned long long)value); break;
    case PRINT_OCTAL: add(line, "%#o", (unsigned)value); break;
    case PRINT_FD:
        if ((int)value == AT_FDCWD)
            add(line, "AT_FDCWD");
        else
            add(line, "%d", (int)value);
        break;
    case PRINT_SIGNAL: add_signal(line, (int)value); break;
    case PRINT_POINTER: add_pointer(line, value); break;
    case PRINT_STRING: add_string(line, t, value); break;
    case PRINT_STRINGS: add_strings(line, t, value); break;
    case PRINT_ENVIRONMENT: add_environment(line, t, value); break;
    case PRINT_DATA: add_bytes(line, t, value, out ? MIN((uint64_t)result, counted) : counted); break;
    case PRINT_VECTOR: add_vector(line, t, value, counted, result, out); break;
    case PRINT_TIME: add_time(line, t, value); break;
    case PRINT_SIGSET: add_sigset(line, t, value); break;
    case PRINT_INT_AT: add_ints(line, t, value, 1); break;
    case PRINT_PAIR: add_ints(line, t, value, 2); break;
    case PRINT_STAT: add_stat(line, t, value); break;
    case PRINT_ADDRESS: add_address(line, t, value, address_size(t, row, args, i)); break;
    case PRINT_FUTEX_OP: add_futex_op(line, (uint32_t)value); break;
    default: add_names(line, ARG_PRINT(arg) - PRINT_NAMES, value); break;
    }
}

static bool shows_mode(const struct sysargs *args, unsigned flags)
{
    return args->a[flags] & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY));
}

/* open()'s mode means something with some flags only. */
static bool is_shown(const struct syscall_row *row, const struct sysargs *args, unsigned i)
{
    if (ARG_PRINT(row->arg[i]) == PRINT_NOTHING)
        return false;
    return !(i && ARG_PRINT(row->arg[i]) == PRINT_OCTAL &&
             ARG_PRINT(row->arg[i - 1]) == PRINT_NAMES + NAMES_OPEN) ||
           shows_mode(args, i - 1);
}

/* Shows arguments from where the line is; before the call up to the first that the call writes. */
static void add_arguments(struct strace_line *line, const struct thread *t, const struct syscall_row *row,
                          const struct sysargs *args, bool before, int64_t result)
{
    for (; line->shown < ARRAY_SIZE(row->arg); line->shown++) {
        unsigned i = line->shown;
        if (!is_shown(row, args, i))
            continue;
        if (before && row->arg[i] & ARG_OUT)
            return;
        add(line, i ? ", " : "");
        add_argument(line, t, row, args, i, result);
    }
}

/* ---- Lines ---- */

static void add_name(struct strace_line *line, const struct thread *t, const struct syscall_row *row)
{
    if (row->name)
        add(line, "%s(", row->name);
    else
        add(line, "syscall_%llu(", (unsigned long long)t->syscall_number);
}

static bool never_returns(const struct syscall_row *row)
{
    return row->handler == call_exit || row->handler == call_exit_group;
}

static bool may_become_another(const struct syscall_row *row)
{
    return row->handler == call_execve || row->handler == call_execveat;
}

static bool makes_process(const struct syscall_row *row)
{
    return row->handler == call_clone || row->handler == call_clone3;
}

static bool returns_address(const struct syscall_row *row)
{
    return row->handler == call_mmap || row->handler == call_brk || row->handler == call_mremap ||
           row->handler == call_shmat;
}

void strace_enter(struct strace_line *line, struct thread *t, const struct syscall_row *row,
                  const struct sysargs *args)
{
    line->length = line->shown = 0;
    add_name(line, t, row);
    add_arguments(line, t, row, args, true, 0);
    if (makes_process(row))
        t->process->several = true;
    if (!never_returns(row) && !may_become_another(row))
        return;
    add_end(line, never_returns(row) ? ") = ?" : " <unfinished ...>");
    write_line(line, t);
    line->length = 0;
    if (may_become_another(row))
        add(line, "<... %s resumed>", row->name);
}

static void add_result(struct strace_line *line, const struct syscall_row *row, int64_t result)
{
    if (result == -HOST_ERESTART)
        add_end(line, ") = ? (a signal waits, to be begun anew)");
    else if (!row->name)
        add_end(line, ") = -1 ENOSYS (not known to Guise)");
    else if (result < 0 && result >= -4095)
        add_end(line, ") = -1 %s (%s)", strerrorname_np((int)-result) ?: "?",
                strerrordesc_np((int)-result) ?: "?");
    else if (returns_address(row))
        add_end(line, ") = %#llx", (unsigned long long)result);
    else
        add_end(line, ") = %lld", (long long)result);
}

void strace_leave(struct strace_line *line, struct thread *t, const struct syscall_row *row,
                  const struct sysargs *args, int64_t result)
{
    if (makes_process(row) && !result) /* the child */
        return;
    add_arguments(line, t, row, args, false, result);
    add_result(line, row, result);
    write_line(line, t);
}

void strace_signal(struct thread *t, const siginfo_t *info)
{
    struct strace_line line = {.length = 0};
    if (!t->process->config->strace)
        return;
    add(&line, "--- ");
    add_signal(&line, info->si_signo);
    add(&line, " {si_signo=%d, si_code=%d", info->si_signo, info->si_code);
    if (info->si_code <= 0)
        add(&line, ", si_pid=%d, si_uid=%u", info->si_pid, info->si_uid);
    else if (info->si_signo == SIGSEGV || info->si_signo == SIGBUS || info->si_signo == SIGILL)
        add(&line, ", si_addr=%p", info->si_addr);
    add_end(&line, "} ---");
    write_line(&line, t);
}
