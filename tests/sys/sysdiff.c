/* Both sides of a differential test of the privileged architecture.
 *
 *     sysdiff make PROFILE SEED >CASES     csr, timer, pages, pmp, streams or aia
 *     sysdiff run IMAGE >RECORDS           what Guise makes of driver and cases
 *     sysdiff compare CASES OURS THEIRS    says where two runs differ; status 1 when they do
 *
 * Options come first: `--without FEATURE`, `--engine NAME` and `--engine-options LIST` (run), `--avoid NAME[=MASK]` (make:
 * no such instruction or CSR, or bits of it; "zero": values), `--hidden FIELD=MASK` (compare: bits of a record's field that
 * do not count). */
#include "base/util.h"
#include "cases.h"
#include "isa/riscv/isa.h"
#include "isa/riscv/tables.h"
#include "machine.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REPORTS = 1000 };

static const char *const profiles[PROFILE_COUNT] = {"csr", "timer", "pages", "pmp", "streams", "aia"};

#define FIELD_NAME(name) #name,
static const char *const fields[RECORD_COUNT] = {RECORD_FIELDS(FIELD_NAME)};
#undef FIELD_NAME

static const struct feature {
    const char *name;
    uint32_t bit;
} features[] = {
    {"sstc", SYS_SSTC},
    {"sscofpmf", SYS_SSCOFPMF},
    {"smstateen", SYS_SMSTATEEN},
    {"svadu", SYS_SVADU},
    {"svpbmt", SYS_SVPBMT},
    {"svnapot", SYS_SVNAPOT},
    {"zkr", SYS_ZKR},
    {"zicbom", SYS_ZICBOM},
    {"zicboz", SYS_ZICBOZ},
    {"aia", SYS_SMAIA | SYS_SSAIA},
};

struct options {
    uint32_t features;
    struct engine_options engine;
    uint64_t hidden[RECORD_COUNT];
    struct case_limits avoided;
};

static _Noreturn void die(const char *what, const char *which)
{
    fprintf(stderr, "sysdiff: %s: %s\n", which, what);
    exit(2);
}

static int make(const struct options *options, const char *profile, const char *seed)
{
    static struct sys_case cases[1 + CASES_MAX];
    for (unsigned i = 0; i < PROFILE_COUNT; i++) {
        if (strcmp(profiles[i], profile) != 0)
            continue;
        unsigned count =
            cases_make((enum sys_profile)i, strtoull(seed, NULL, 0), &options->avoided, cases + 1);
        memcpy(cases, &(uint64_t){count}, 8);
        return fwrite(cases, sizeof(cases[0]), count + 1, stdout) == count + 1 ? 0 : 1;
    }
    die("no such profile", profile);
}

static int run(const struct options *options, const char *path)
{
    struct machine machine;
    const struct sys_config config = {
        .misa = MISA_LETTER('I') | MISA_LETTER('M') | MISA_LETTER('A') | MISA_LETTER('F') | MISA_LETTER('D') |
                MISA_LETTER('C') | MISA_LETTER('S') | MISA_LETTER('U'),
        .features = options->features,
        .satp_mode = SATP_SV57,
    };
    FILE *image = fopen(path, "rb");
    if (!image || machine_init(&machine, &config, &options->engine, stdout))
        die("cannot be loaded", path);
    void *ram = gmem_slice(&machine.memory, RAM, RAM_SIZE, GMEM_WRITE);
    bool loaded = fread(ram, 1, RAM_SIZE, image) > 0;
    int r = loaded ? machine_run(&machine) : -1;
    fclose(image);
    machine_release(&machine);
    return r ? 1 : 0;
}

/* Returns the number of whole items. */
static size_t read_file(const char *path, void *to, size_t size, size_t limit)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        die("cannot be read", path);
    size_t count = fread(to, size, limit, file);
    fclose(file);
    return count;
}

static void print_case(size_t number, const struct sys_case *c)
{
    struct rv_insn insn;
    char text[96];
    rv_decode(c->word, &insn);
    rv_disasm(&insn, 0, text, sizeof(text));
    printf("case %zu, mode %u: %s; a0 %" PRIx64 " a1 %" PRIx64 " pc %" PRIx64 " status +%" PRIx64 " -%" PRIx64
           "\n",
           number, c->mode, text, c->a0, c->a1, c->pc, c->set, c->clear);
}

static uint64_t difference(const struct options *options, unsigned field, const struct sys_record *a,
                           const struct sys_record *b)
{
    return (a->field[field] ^ b->field[field]) & ~options->hidden[field];
}

/* The records of both sides after a case and after the one before. */
struct pair {
    const struct sys_record *ours, *theirs;
};

/* A field that has differed since the case before is not news. */
static bool is_news(const struct options *options, unsigned field, struct pair now, struct pair before)
{
    uint64_t differs = difference(options, field, now.ours, now.theirs);
    return differs && (!before.ours || differs != difference(options, field, before.ours, before.theirs));
}

/* Prints the case when there is something new. Returns whether the records differ at all. */
static bool compare_case(const struct options *options, const struct sys_case *c, size_t number,
                         struct pair now, struct pair before, bool print)
{
    bool differs = false, printed = false;
    for (unsigned i = 0; i < RECORD_COUNT; i++) {
        differs |= difference(options, i, now.ours, now.theirs) != 0;
        if (!print || !is_news(options, i, now, before))
            continue;
        if (!printed)
            print_case(number, c);
        printed = true;
        printf("    %s: ours %" PRIx64 ", theirs %" PRIx64 "\n", fields[i], now.ours->field[i],
               now.theirs->field[i]);
    }
    return differs;
}

static int compare(const struct options *options, char **paths)
{
    static struct sys_case cases[1 + CASES_MAX];
    static struct sys_record ours[CASES_MAX], theirs[CASES_MAX];
    size_t count = read_file(paths[0], cases, sizeof(cases[0]), ARRAY_SIZE(cases));
    size_t our_count = read_file(paths[1], ours, sizeof(ours[0]), CASES_MAX);
    size_t their_count = read_file(paths[2], theirs, sizeof(theirs[0]), CASES_MAX);
    unsigned different = 0;
    for (size_t i = 0; i < MIN(our_count, their_count); i++) {
        struct pair now = {&ours[i], &theirs[i]},
                    before = {i ? &ours[i - 1] : NULL, i ? &theirs[i - 1] : NULL};
        different += compare_case(options, &cases[1 + i], i, now, before, different < MAX_REPORTS);
    }
    printf("%zu cases, ours %zu, theirs %zu, %u differ\n", count - 1, our_count, their_count, different);
    return different || our_count != count - 1 || their_count != count - 1;
}

static void leave_out(struct options *options, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(features); i++)
        if (strcmp(features[i].name, name) == 0)
            options->features &= ~features[i].bit;
}

static bool is_word(const char *word, const char *text, size_t length)
{
    return strlen(word) == length && memcmp(word, text, length) == 0;
}

static void avoid(struct options *options, const char *text)
{
    if (strcmp(text, "zero") == 0)
        options->avoided.zero = true;
    if (strcmp(text, "napot") == 0)
        options->avoided.napot = true;
    size_t length = strcspn(text, "=");
    uint64_t mask = text[length] ? strtoull(text + length + 1, NULL, 0) : UINT64_MAX;
    for (unsigned i = 0; i < rv_csr_name_count; i++)
        if (is_word(rv_csr_names[i].name, text, length))
            options->avoided.csr[rv_csr_names[i].number] |= mask;
    for (unsigned row = RV_INVALID + 1; row < RV_OP_COUNT; row++)
        if (is_word(rv_op_name(row), text, length))
            options->avoided.row[row] = true;
}

static void hide(struct options *options, const char *text)
{
    size_t length = strcspn(text, "=");
    for (unsigned i = 0; i < RECORD_COUNT; i++)
        if (is_word(fields[i], text, length))
            options->hidden[i] |= strtoull(text + length + 1, NULL, 0);
}

int main(int argc, char **argv)
{
    static struct options options = {.features = UINT32_MAX, .engine = ENGINE_DEFAULTS};
    options.engine.kind = ENGINE_INTERP;
    int i = 1;
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        if (strcmp(argv[i], "--without") == 0)
            leave_out(&options, argv[i + 1]);
        else if (strcmp(argv[i], "--hidden") == 0)
            hide(&options, argv[i + 1]);
        else if (strcmp(argv[i], "--avoid") == 0)
            avoid(&options, argv[i + 1]);
        else if (strcmp(argv[i], "--engine") == 0 && engine_parse_kind(&options.engine, argv[i + 1]))
            continue;
        else if (strcmp(argv[i], "--engine-options") == 0 &&
                 engine_parse_options(&options.engine, argv[i + 1]))
            continue;
        else
            die("unknown option", argv[i]);
    }
    const char *verb = i < argc ? argv[i] : "";
    if (strcmp(verb, "make") == 0 && argc == i + 3)
        return make(&options, argv[i + 1], argv[i + 2]);
    if (strcmp(verb, "run") == 0 && argc == i + 2)
        return run(&options, argv[i + 1]);
    if (strcmp(verb, "compare") == 0 && argc == i + 4)
        return compare(&options, argv + i + 1);
    die("make, run or compare", verb);
}
