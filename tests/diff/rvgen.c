/* rvgen: makes a riscv64 Linux program of random instructions from a seed (see --help). */
#include "layout.h"
#include "program.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char usage[] =
    "usage: rvgen [options] [-o FILE]\n"
    "  --seed N          which program (default 1)\n"
    "  --length N        items in the stream (default 1000)\n"
    "  --chunk N         items between two checkpoints (default 16)\n"
    "  --passes N        how often the stream is run (default 1)\n"
    "  --rows PATTERNS   only these rows, e.g. add,sub or 'f*.d' or @zba; no loops and calls then\n"
    "  --without PATTERNS  not these rows\n"
    "  --illegal N       percentage of words that need not be valid\n"
    "  --faults N        percentage of accesses that fault\n"
    "  --drop RANGES     items to leave out, e.g. 0-15,20\n"
    "  --sync            write every record at once\n"
    "  --list A-B        print items A to B with their instructions\n"
    "  --coverage        print how often each row is certain to be executed\n";

struct options {
    struct program_config program;
    const char *rows, *without, *output, *list, *drop;
    bool coverage;
};

static _Noreturn void die(const char *what, const char *detail)
{
    fprintf(stderr, "rvgen: %s: %s\n", what, detail);
    exit(2);
}

static unsigned long long number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno || *end || end == text)
        die("not a number", text);
    return value;
}

static unsigned small_number(const char *text, unsigned low, unsigned high)
{
    unsigned long long value = number(text);
    if (value < low || value > high)
        die("out of range", text);
    return (unsigned)value;
}

/* "A-B" or "A": stores both ends and returns what follows. */
static const char *range(const char *text, unsigned *first, unsigned *last)
{
    char *end;
    *first = *last = (unsigned)strtoul(text, &end, 10);
    if (end != text && *end == '-')
        *last = (unsigned)strtoul(end + 1, &end, 10);
    if (end == text)
        die("not a range", text);
    return end;
}

static void parse(struct options *options, int argc, char **argv)
{
    enum { SEED, LENGTH, CHUNK, PASSES, ROWS, WITHOUT, ILLEGAL, FAULTS, DROP, SYNC, LIST, COVERAGE, HELP };
    static const struct option known[] = {
        {"seed", 1, NULL, SEED},       {"length", 1, NULL, LENGTH}, {"chunk", 1, NULL, CHUNK},
        {"passes", 1, NULL, PASSES},   {"rows", 1, NULL, ROWS},     {"without", 1, NULL, WITHOUT},
        {"illegal", 1, NULL, ILLEGAL}, {"faults", 1, NULL, FAULTS}, {"drop", 1, NULL, DROP},
        {"sync", 0, NULL, SYNC},       {"list", 1, NULL, LIST},     {"coverage", 0, NULL, COVERAGE},
        {"help", 0, NULL, HELP},       {NULL, 0, NULL, 0},
    };
    struct program_config *program = &options->program;
    for (int c; (c = getopt_long(argc, argv, "o:", known, NULL)) != -1;) {
        switch (c) {
        case SEED: program->stream.seed = number(optarg); break;
        case LENGTH: program->length = small_number(optarg, 1, 1000000); break;
        case CHUNK: program->chunk = small_number(optarg, 1, 1000000); break;
        case PASSES: program->passes = small_number(optarg, 1, 1000); break;
        case ROWS: options->rows = optarg; break;
        case WITHOUT: options->without = optarg; break;
        case ILLEGAL: program->stream.illegal = small_number(optarg, 0, 100); break;
        case FAULTS: program->stream.faults = small_number(optarg, 0, 100); break;
        case DROP: options->drop = optarg; break;
        case SYNC: program->sync = true; break;
        case LIST: options->list = optarg; break;
        case COVERAGE: options->coverage = true; break;
        case 'o': options->output = optarg; break;
        case HELP: fputs(usage, stdout); exit(0);
        default: fputs(usage, stderr); exit(2);
        }
    }
    if (optind != argc)
        die("unexpected argument", argv[optind]);
}

static void choose_rows(struct options *options)
{
    struct stream_config *stream = &options->program.stream;
    stream->structures = !options->rows;
    for (unsigned row = 1; row < RV_ROW_COUNT; row++) {
        stream->chosen[row] = rv_op_ext(row) < RV_EXT_PROGRAM_COUNT &&
                              (!options->rows || row_matches(row, options->rows)) &&
                              (!options->without || !row_matches(row, options->without));
        if (stream->chosen[row])
            stream->rows[stream->row_count++] = (uint16_t)row;
    }
    if (!stream->row_count)
        die("no row matches", options->rows ? options->rows : options->without);
}

static uint8_t *dropped_items(const struct options *options)
{
    unsigned first, last;
    uint8_t *dropped = calloc(options->program.length, 1);
    if (!dropped)
        abort();
    for (const char *at = options->drop; at && *at; at += *at == ',') {
        at = range(at, &first, &last);
        for (unsigned i = first; i <= last && i < options->program.length; i++)
            dropped[i] = 1;
    }
    return dropped;
}

static void list_items(const struct program *program, const struct options *options)
{
    unsigned first, last;
    range(options->list, &first, &last);
    for (unsigned i = first; i <= last && i < options->program.length; i++) {
        if (program->item[i].start < program->item[i].end)
            printf("item %u\n", i);
        for (uint64_t pc = program->item[i].start; pc < program->item[i].end;) {
            struct rv_insn insn;
            char text[96];
            rv_decode(text_fetch(&program->text, pc), &insn);
            rv_disasm(&insn, pc, text, sizeof(text));
            printf("  %llx: %0*x %s%s\n", (unsigned long long)pc, insn.length * 2, insn.word,
                   insn.length == 2 ? "     " : " ", text);
            pc += insn.length;
        }
    }
}

static void print_coverage(const struct program *program, const struct stream_config *stream)
{
    for (unsigned i = 0; i < stream->row_count; i++)
        printf("%u %s\n", program->executed[stream->rows[i]], rv_op_name(stream->rows[i]));
}

/* What is not a file, /dev/null say, keeps its mode. */
static int make_executable(FILE *file)
{
    struct stat st;
    if (fstat(fileno(file), &st) < 0)
        return -1;
    return S_ISREG(st.st_mode) ? fchmod(fileno(file), 0755) : 0;
}

static void write_program(const struct program *program, const char *path)
{
    FILE *file = fopen(path, "wb");
    if (!file || program_write(program, file) < 0 || make_executable(file) < 0 || fclose(file) != 0)
        die(path, strerror(errno));
}

int main(int argc, char **argv)
{
    static struct options options = {
        .program = {.stream = {.seed = 1}, .length = 1000, .chunk = 16, .passes = 1},
    };
    static struct program program;
    parse(&options, argc, argv);
    choose_rows(&options);
    uint8_t *dropped = dropped_items(&options);
    options.program.dropped = dropped;
    program_build(&program, &options.program);
    if (options.output)
        write_program(&program, options.output);
    if (options.list)
        list_items(&program, &options);
    if (options.coverage)
        print_coverage(&program, &options.program.stream);
    program_release(&program);
    free(dropped);
    return 0;
}
