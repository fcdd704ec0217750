/* Compares decoder and disassembler with GNU objdump.
 *
 *     isa-objdump words            every 16-bit word, and 32-bit words around every row and at random
 *     isa-objdump expansions       compressed words and what they expand to read alike when aliases are used
 *     isa-objdump libraries        the cross compiler's libraries
 *     isa-objdump files FILE...    these programs
 *
 * Where the two differ on purpose, is_accepted() says why. Exits with 77 when the tools are missing. */
#include "isa/riscv/isa.h"
#include "isa/riscv/tables.h"

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOOLS     "riscv64-linux-gnu-"
#define LIBRARIES "/usr/riscv64-linux-gnu/lib/*.so*"

enum { SKIP = 77, MAX_REPORTS = 40, FILLS = 300, NEAR_MISSES = 12, RANDOM_WORDS = 60000, CSRS = 4096 };

/* All that binutils 2.40 knows of what Guise implements. */
static const char arch[] =
    "rv64imafdc_zicsr_zifencei_zba_zbb_zbc_zbs_zicbom_zicboz_zicbop_zihintpause_zfhmin_zawrs_svinval";

/* ... and what it does not; tests/isa/rows.c checks these against words written by hand. */
static const uint64_t unknown_to_objdump = 1ull << RV_EXT_ZICOND | 1ull << RV_EXT_ZFA | 1ull << RV_EXT_ZCB |
                                           1ull << RV_EXT_ZIMOP | 1ull << RV_EXT_ZCMOP |
                                           1ull << RV_EXT_ZACAS | 1ull << RV_EXT_ZIHINTNTL;

struct counts {
    unsigned long lines, accepted, wrong;
};

/* One line of objdump's output. */
struct line {
    uint64_t address;
    uint32_t word;
    unsigned length;
    char text[128];
};

/* splitmix64 */
static uint64_t random_next(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static bool starts_with(const char *text, const char *prefix)
{
    return !strncmp(text, prefix, strlen(prefix));
}

static bool ends_with(const char *text, const char *suffix)
{
    size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && !strcmp(text + length - tail, suffix);
}

/* "    4c:\tfe0008e3          \tbeq\ta0,a1,3c <main+0x4>" */
static bool parse_line(const char *input, struct line *line)
{
    char *end, *digits;
    line->address = strtoull(input, &end, 16);
    if (end == input || end[0] != ':' || end[1] != '\t')
        return false;
    digits = end + 2;
    line->word = (uint32_t)strtoul(digits, &end, 16);
    line->length = (unsigned)(end - digits) / 2;
    end += strspn(end, " \t");
    size_t length = strcspn(end, "\n#<");
    while (length && (end[length - 1] == ' ' || end[length - 1] == '\t'))
        length--;
    snprintf(line->text, sizeof line->text, "%.*s", (int)length, end);
    return line->length == 2 || line->length == 4;
}

static bool is_data(const char *text)
{
    return starts_with(text, ".2byte") || starts_with(text, ".4byte") || starts_with(text, ".short") ||
           starts_with(text, ".word") || !strcmp(text, "c.unimp") || !strcmp(text, "unimp");
}

/* What objdump names but Guise does not know: instructions of debug mode and of old drafts. */
static bool is_privileged(const char *text)
{
    static const char *const names[] = {"uret", "hret", "dret", "sfence.vm"};
    size_t length = strcspn(text, "\t");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == length && !strncmp(text, names[i], length))
            return true;
    return false;
}

/* Our text in objdump's words. */
static void write_as_objdump(const struct rv_insn *insn, uint64_t address, char *text, size_t size)
{
    if (insn->row == RV_C_NOP)
        snprintf(text, size, "c.addi\tzero,%d", insn->imm);
    else if (insn->row == RV_FENCE && (!(insn->aux >> 4) || !(insn->aux & 15))) {
        static const char *const sets[] = {"unknown", "w",  "r",  "rw",  "o",  "ow",  "or",  "orw",
                                           "i",       "iw", "ir", "irw", "io", "iow", "ior", "iorw"};
        snprintf(text, size, "fence\t%s,%s", sets[insn->aux >> 4], sets[insn->aux & 15]);
    } else
        rv_disasm(insn, address, text, size);
}

static bool has_unnamed_csr(const struct rv_insn *insn)
{
    for (unsigned i = 0; i < rv_csr_name_count; i++)
        if (rv_csr_names[i].number == insn->imm)
            return false;
    return insn->row >= RV_CSRRW && insn->row <= RV_CSRRCI;
}

static bool is_exact_conversion(unsigned row)
{
    return row == RV_FCVT_D_S || row == RV_FCVT_D_W || row == RV_FCVT_D_WU || row == RV_FCVT_S_H ||
           row == RV_FCVT_D_H;
}

/* A word that Guise decodes and objdump shows as data or as something else. */
static bool is_accepted_row(const struct rv_insn *insn, const char *theirs)
{
    if (unknown_to_objdump >> rv_op_ext(insn->row) & 1)
        return is_data(theirs) || starts_with(theirs, "add\t") || starts_with(theirs, "c.add\t");
    if (insn->row == RV_FENCE || insn->row == RV_FENCE_I) /* reserved fields are to be ignored */
        return is_data(theirs) && (insn->rd || insn->rs1 || insn->imm);
    if (is_exact_conversion(insn->row)) /* any rounding mode is as good as the one objdump knows */
        return is_data(theirs) && insn->rm;
    if (starts_with(theirs, "c.slli64\t") || starts_with(theirs, "c.srli64\t") ||
        starts_with(theirs, "c.srai64\t"))
        return starts_with(theirs, rv_op_name(insn->row)) && insn->imm == 0;
    if (insn->word == 0xc0001073) /* csrrw zero,cycle,zero */
        return !strcmp(theirs, "unimp");
    return has_unnamed_csr(insn) && starts_with(theirs, rv_op_name(insn->row));
}

static bool is_accepted(const struct rv_insn *insn, const char *theirs)
{
    if (insn->op != RV_INVALID)
        return is_accepted_row(insn, theirs);
    bool is_reserved = ends_with(theirs, ",unknown") || !strcmp(theirs, "c.addi16sp\tsp,0");
    return is_privileged(theirs) || is_reserved;
}

/* Targets are printed in hexadecimal with and without 0x. */
static bool is_same(const char *ours, const char *theirs)
{
    if (!strcmp(ours, theirs))
        return true;
    const char *prefix = strstr(ours, "0x");
    return prefix && !strncmp(ours, theirs, (size_t)(prefix - ours)) &&
           !strcmp(prefix + 2, theirs + (prefix - ours));
}

static void compare(const struct line *line, struct counts *counts)
{
    struct rv_insn insn;
    char ours[128];
    int length = rv_decode(line->word, &insn);
    counts->lines++;
    write_as_objdump(&insn, line->address, ours, sizeof ours);
    if (insn.length == line->length && (length ? is_same(ours, line->text) : is_data(line->text)))
        return;
    if (is_accepted(&insn, line->text)) {
        counts->accepted++;
        return;
    }
    if (counts->wrong++ < MAX_REPORTS)
        fprintf(stderr, "%08x: guise '%s', objdump '%s'\n", line->word, ours, line->text);
}

static FILE *open_pipe(const char *command, const char *mode)
{
    FILE *pipe = popen(command, mode);
    if (!pipe) {
        perror(command);
        exit(1);
    }
    return pipe;
}

static bool next_line(FILE *pipe, struct line *line)
{
    char input[512];
    while (fgets(input, sizeof input, pipe))
        if (parse_line(input, line))
            return true;
    return false;
}

static FILE *disassemble(const char *options, const char *path)
{
    char command[512];
    snprintf(command, sizeof command, TOOLS "objdump -d -z %s '%s'", options, path);
    return open_pipe(command, "r");
}

static void compare_file(const char *path, struct counts *counts)
{
    struct line line;
    FILE *pipe = disassemble("-M no-aliases", path);
    while (next_line(pipe, &line))
        compare(&line, counts);
    if (pclose(pipe))
        counts->wrong++;
}

/* An assembler that is fed raw words. */
struct assembler {
    FILE *pipe;
    char object[64];
};

static void assembler_open(struct assembler *as)
{
    char command[128];
    snprintf(as->object, sizeof as->object, "/tmp/isa-objdump.XXXXXX");
    int fd = mkstemp(as->object);
    if (fd < 0) {
        perror(as->object);
        exit(1);
    }
    close(fd);
    snprintf(command, sizeof command, TOOLS "as -o %s -", as->object);
    as->pipe = open_pipe(command, "w");
    fprintf(as->pipe, ".attribute arch, \"%s\"\n", arch);
}

static void assembler_add(struct assembler *as, unsigned length, uint32_t word)
{
    fprintf(as->pipe, ".insn %u, 0x%x\n", length, word);
}

static void assembler_close(struct assembler *as, struct counts *counts)
{
    if (pclose(as->pipe))
        counts->wrong++;
}

/* Words that begin an instruction of more than 4 bytes would take the next one with them. */
static void add_word(struct assembler *as, uint32_t word)
{
    if ((word & 3) == 3 && (word & 31) != 31)
        assembler_add(as, 4, word);
}

static void add_row_words(struct assembler *as, const struct rv_row *row, uint64_t *seed)
{
    for (int i = 0; i < FILLS; i++)
        add_word(as, row->match | ((uint32_t)random_next(seed) & ~row->mask));
    for (unsigned bit = 2; bit < 32; bit++)
        if (row->mask >> bit & 1)
            for (int i = 0; i < NEAR_MISSES; i++)
                add_word(as, (row->match ^ 1u << bit) | ((uint32_t)random_next(seed) & ~row->mask));
}

static void compare_words(struct counts *counts)
{
    struct assembler as;
    uint64_t seed = 1;
    assembler_open(&as);
    for (uint32_t word = 0; word <= UINT16_MAX; word++)
        if ((word & 3) != 3)
            assembler_add(&as, 2, word);
    for (unsigned row = RV_INVALID + 1; row < RV_OP_COUNT; row++)
        add_row_words(&as, &rv_rows[row], &seed);
    for (uint32_t csr = 0; csr < CSRS; csr++)
        add_word(&as, rv_rows[RV_CSRRWI].match | csr << 20);
    for (int i = 0; i < RANDOM_WORDS; i++)
        add_word(&as, (uint32_t)random_next(&seed) | 3);
    assembler_close(&as, counts);
    compare_file(as.object, counts);
    unlink(as.object);
}

/* Hints keep their compressed names even where objdump uses aliases; c.mv, by the manual an add, is always "mv"; an
 * addition of 0 is "mv" only when it is not compressed. */
static bool is_alias(const char *written, const char *expanded)
{
    char text[64];
    size_t first = strcspn(written, ",");
    if (starts_with(written, "mv\t")) {
        snprintf(text, sizeof text, "add%.*s,zero%s", (int)first - 2, written + 2, written + first);
        return !strcmp(text, expanded);
    }
    bool adds_zero = starts_with(written, "add\t") && ends_with(written, ",0");
    return starts_with(written, "c.") || (adds_zero && starts_with(expanded, "mv\t"));
}

static void compare_expansion(const struct line *written, const struct line *expanded, struct counts *counts)
{
    counts->lines++;
    if (!strcmp(written->text, expanded->text))
        return;
    if (is_alias(written->text, expanded->text)) {
        counts->accepted++;
        return;
    }
    if (counts->wrong++ < MAX_REPORTS)
        fprintf(stderr, "%04x: '%s' became %08x: '%s'\n", written->word, written->text, expanded->word,
                expanded->text);
}

/* Compressed words, each with a filler after it, and what they expand to, at the same addresses. */
static void assemble_expansions(struct assembler *written, struct assembler *expanded)
{
    for (uint32_t word = 0; word <= UINT16_MAX; word++) {
        struct rv_insn insn;
        if ((word & 3) == 3 || !rv_decode(word, &insn) || unknown_to_objdump >> rv_op_ext(insn.row) & 1)
            continue;
        insn.row = insn.op;
        assembler_add(written, 2, word);
        assembler_add(written, 2, 1);
        assembler_add(expanded, 4, rv_encode(&insn));
    }
}

static void compare_expansions(struct counts *counts)
{
    struct assembler as[2];
    struct line written, expanded, filler;
    assembler_open(&as[0]);
    assembler_open(&as[1]);
    assemble_expansions(&as[0], &as[1]);
    assembler_close(&as[0], counts);
    assembler_close(&as[1], counts);
    FILE *left = disassemble("", as[0].object), *right = disassemble("", as[1].object);
    while (next_line(left, &written) && next_line(left, &filler) && next_line(right, &expanded))
        compare_expansion(&written, &expanded, counts);
    if (pclose(left) | pclose(right))
        counts->wrong++;
    unlink(as[0].object);
    unlink(as[1].object);
}

/* Not a link, nor a linker's script. */
static bool is_elf_file(const char *path)
{
    struct stat status;
    char magic[4] = "";
    if (lstat(path, &status) || !S_ISREG(status.st_mode))
        return false;
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    bool is_elf = fread(magic, sizeof magic, 1, file) == 1 && !memcmp(magic, "\177ELF", sizeof magic);
    fclose(file);
    return is_elf;
}

static void compare_libraries(struct counts *counts)
{
    glob_t paths;
    if (glob(LIBRARIES, 0, NULL, &paths))
        exit(SKIP);
    for (size_t i = 0; i < paths.gl_pathc; i++)
        if (is_elf_file(paths.gl_pathv[i]))
            compare_file(paths.gl_pathv[i], counts);
    globfree(&paths);
}

static bool have_tools(void)
{
    return !system(TOOLS "objdump --version >/dev/null 2>&1") &&
           !system(TOOLS "as --version >/dev/null 2>&1");
}

int main(int argc, char **argv)
{
    struct counts counts = {0};
    const char *what = argc > 1 ? argv[1] : "";
    if (!have_tools())
        return SKIP;
    if (!strcmp(what, "words"))
        compare_words(&counts);
    else if (!strcmp(what, "expansions"))
        compare_expansions(&counts);
    else if (!strcmp(what, "libraries"))
        compare_libraries(&counts);
    for (int i = 2; i < argc; i++)
        compare_file(argv[i], &counts);
    printf("%lu instructions, %lu accepted differences, %lu wrong\n", counts.lines, counts.accepted,
           counts.wrong);
    return counts.lines && !counts.wrong ? 0 : 1;
}
