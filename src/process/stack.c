/* From high to low, as Linux lays it out:
 *
 *   stack_top   8 zero bytes
 *               AT_EXECFN string, environment strings, argument strings (these start lowest)
 *               16 random bytes
 *               auxiliary vector, envp[], argv[], argc   <- sp, a multiple of 16
 *               ...
 *   stack_top - stack_size
 */
#include "process/stack.h"

#include "base/error.h"
#include "base/util.h"
#include "isa/riscv/isa.h"
#include "process/ids.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

#define MAX_STRING   ((size_t)128 << 10) /* Linux's MAX_ARG_STRLEN */
#define MIN_STRINGS  ((size_t)128 << 10) /* always allowed: ARG_MAX */
#define MAX_STRINGS  ((size_t)6 << 20)   /* three quarters of the usual 8 MiB stack */
#define RANDOM_BYTES 16
#define SIGNAL_FRAME 1088 /* sizeof(struct rt_sigframe): siginfo 128, ucontext 960 */
#define CLOCK_TICKS  100

/* The stack's content while it is made: a copy that ends at `top`, filled downwards. */
struct builder {
    char *data; /* owned */
    size_t size, used;
    uint64_t top;
};

static uint64_t push(struct builder *b, const void *bytes, size_t length)
{
    b->used += length;
    memcpy(b->data + b->size - b->used, bytes, length);
    return b->top - b->used;
}

static uint64_t push_string(struct builder *b, const char *s)
{
    return push(b, s, strlen(s) + 1);
}

/* ---- Sizes ---- */

struct counts {
    size_t argc, envc;
    size_t strings; /* bytes of all strings with their NULs */
};

static int too_long(const struct process *p, struct guise_error *err)
{
    return error_set(err, GUISE_E_EXEC, "%s: argument list too long", p->config->program);
}

static bool count_strings(char **list, size_t *count, size_t *bytes)
{
    for (*count = 0; list[*count]; ++*count) {
        size_t length = strnlen(list[*count], MAX_STRING);
        if (length == MAX_STRING)
            return false;
        *bytes += length + 1;
    }
    return true;
}

static size_t strings_limit(void)
{
    struct rlimit limit;
    size_t quarter = getrlimit(RLIMIT_STACK, &limit) ? MAX_STRINGS : limit.rlim_cur / 4;
    return MAX(MIN(quarter, MAX_STRINGS), MIN_STRINGS);
}

static int measure(const struct process *p, const char *execfn, struct counts *n, struct guise_error *err)
{
    n->strings = strlen(execfn) + 1;
    if (!count_strings(p->config->argv, &n->argc, &n->strings) ||
        !count_strings(p->config->envp, &n->envc, &n->strings))
        return too_long(p, err);
    return n->strings + (n->argc + n->envc) * sizeof(uint64_t) > strings_limit() ? too_long(p, err) : 0;
}

/* ---- The auxiliary vector ---- */

static void aux(struct process *p, uint64_t type, uint64_t value)
{
    p->auxv[p->auxv_words++] = type;
    p->auxv[p->auxv_words++] = value;
}

/* One bit for each single-letter extension, bit 0 for A. */
static uint64_t hwcap(uint64_t extensions)
{
    uint64_t bits = 0;
    for (unsigned ext = 0; ext < RV_EXT_COUNT; ext++) {
        const char *name = rv_ext_name((enum rv_ext)ext);
        if ((extensions >> ext & 1) && name[0] && !name[1])
            bits |= (uint64_t)1 << ((name[0] | 0x20) - 'a');
    }
    return bits;
}

static void aux_cache(struct process *p, uint64_t size_type, int size, int line, int ways)
{
    long bytes = sysconf(size), line_bytes = sysconf(line), associativity = sysconf(ways);
    if (bytes <= 0 || line_bytes <= 0 || associativity < 0)
        return;
    aux(p, size_type, (uint64_t)bytes);
    aux(p, size_type + 1, (uint64_t)associativity << 16 | (uint64_t)line_bytes);
}

static void aux_identity(struct process *p)
{
    const struct aux_ids ids = ids_at_start(p);
    aux(p, AT_UID, ids.uid);
    aux(p, AT_EUID, ids.euid);
    aux(p, AT_GID, ids.gid);
    aux(p, AT_EGID, ids.egid);
    aux(p, AT_SECURE, getauxval(AT_SECURE) || ids.uid != ids.euid || ids.gid != ids.egid);
}

static void fill_auxv(struct process *p, const struct elf_image *image, uint64_t random, uint64_t execfn)
{
    p->auxv_words = 0;
    if (p->vdso_base)
        aux(p, AT_SYSINFO_EHDR, p->vdso_base);
    aux_cache(p, AT_L1I_CACHESIZE, _SC_LEVEL1_ICACHE_SIZE, _SC_LEVEL1_ICACHE_LINESIZE,
              _SC_LEVEL1_ICACHE_ASSOC);
    aux_cache(p, AT_L1D_CACHESIZE, _SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL1_DCACHE_LINESIZE,
              _SC_LEVEL1_DCACHE_ASSOC);
    aux_cache(p, AT_L2_CACHESIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL2_CACHE_LINESIZE, _SC_LEVEL2_CACHE_ASSOC);
    aux(p, AT_HWCAP, hwcap(p->config->extensions));
    aux(p, AT_PAGESZ, MM_PAGE);
    aux(p, AT_CLKTCK, CLOCK_TICKS);
    aux(p, AT_PHDR, image->phdr);
    aux(p, AT_PHENT, sizeof(Elf64_Phdr));
    aux(p, AT_PHNUM, image->phnum);
    aux(p, AT_BASE, image->base);
    aux(p, AT_FLAGS, 0);
    aux(p, AT_ENTRY, image->program_entry);
    aux_identity(p);
    aux(p, AT_RANDOM, random);
    aux(p, AT_HWCAP2, 0);
    aux(p, AT_EXECFN, execfn);
    aux(p, AT_MINSIGSTKSZ, SIGNAL_FRAME);
    aux(p, AT_NULL, 0);
}

/* ---- Building ---- */

/* Pushes the strings of a list, last first, so that they ascend; `addresses` gets where each went. */
static void push_list(struct builder *b, char **list, size_t count, uint64_t *addresses)
{
    addresses[count] = 0;
    while (count--)
        addresses[count] = push_string(b, list[count]);
}

/* `vector` has room for argc, argv[] and envp[] with their ends. */
static uint64_t fill(struct process *p, const struct elf_image *image, const char *execfn,
                     const struct counts *n, struct builder *b, uint64_t *vector)
{
    uint64_t *argv = vector + 1, *envp = argv + n->argc + 1;
    size_t words = n->argc + n->envc + 3;
    char random[RANDOM_BYTES];
    if (getrandom(random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        memcpy(random, (const void *)getauxval(AT_RANDOM), sizeof(random));

    push(b, &(uint64_t){0}, sizeof(uint64_t));
    uint64_t execfn_at = push_string(b, execfn);
    p->env_end = execfn_at;
    push_list(b, p->config->envp, n->envc, envp);
    p->arg_end = p->env_start = b->top - b->used;
    push_list(b, p->config->argv, n->argc, argv);
    p->arg_start = b->top - b->used;
    b->used = ALIGN_UP(b->used, (size_t)16);
    fill_auxv(p, image, push(b, random, sizeof(random)), execfn_at);

    vector[0] = n->argc;
    if ((words + p->auxv_words) % 2)
        push(b, &(uint64_t){0}, sizeof(uint64_t));
    push(b, p->auxv, p->auxv_words * sizeof(uint64_t));
    return push(b, vector, words * sizeof(uint64_t));
}

static int map_stack(struct process *p, const struct elf_image *image, struct guise_error *err)
{
    const struct mm_layout *layout = mm_layout(p->mm);
    uint64_t start = layout->stack_top - layout->stack_size;
    int prot = PROT_READ | PROT_WRITE | (image->executable_stack ? PROT_EXEC : 0);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE;
    int64_t got = mm_mmap(p->mm, start, layout->stack_size, prot, flags, -1, 0);
    if (got < 0)
        return error_set_errno(err, GUISE_E_SYSTEM, (int)-got, "cannot map a stack of %llu KiB",
                               (unsigned long long)layout->stack_size >> 10);
    /* The first touch shall cost one page, not a huge one. */
    mm_madvise(p->mm, start, layout->stack_size, MADV_NOHUGEPAGE);
    mm_name(p->mm, start, layout->stack_top, "[stack]");
    return 0;
}

int stack_build(struct process *p, const struct elf_image *image, uint64_t *sp, struct guise_error *err)
{
    const char *execfn = p->config->execfn ? p->config->execfn : p->config->program;
    struct counts n = {0};
    int status = measure(p, execfn, &n, err);
    if (!status)
        status = map_stack(p, image, err);
    if (status)
        return status;
    size_t words = n.argc + n.envc + 3;
    struct builder b = {.top = mm_layout(p->mm)->stack_top};
    b.size = n.strings + sizeof(p->auxv) + words * sizeof(uint64_t) + RANDOM_BYTES + 64;
    b.data = malloc(b.size);
    uint64_t *vector = malloc(words * sizeof(uint64_t));
    if (b.data && vector) {
        *sp = fill(p, image, execfn, &n, &b, vector);
        p->stack_start = *sp;
        p->start_code = image->start_code;
        p->end_code = image->end_code;
        if (mm_write(p->mm, *sp, b.data + b.size - b.used, b.used))
            status = error_set(err, GUISE_E_NOMEM, "%s: no memory for the stack", p->config->program);
    } else {
        status = error_set(err, GUISE_E_NOMEM, "%s: no memory for the arguments", p->config->program);
    }
    free(vector);
    free(b.data);
    return status;
}
