/* The vDSO as others see it: an ELF reader of its own here, and binutils where they are installed. */
#include "mm_fixture.h"

#include "process/vdso.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct vdso {
    struct mm *mm;
    uint64_t base, sigreturn, size;
    char bytes[8192];
};

static struct vdso map_vdso(void **state)
{
    struct vdso v = {.mm = enter(state)};
    struct guise_error err;
    struct mm_region r;
    assert_int_equal(vdso_map(v.mm, &v.base, &v.sigreturn, &err), 0);
    assert_true(mm_find(v.mm, v.base, &r));
    assert_int_equal(r.start, v.base);
    assert_int_equal(r.prot, PROT_READ | PROT_EXEC);
    assert_string_equal(r.name, "[vdso]");
    v.size = r.end - r.start;
    assert_true(v.size <= sizeof(v.bytes));
    assert_int_equal(mm_read(v.mm, v.bytes, v.base, v.size), 0);
    return v;
}

/* ---- As a C library reads it: program headers and the dynamic section alone ---- */

struct tables {
    const Elf64_Sym *symbols;
    const char *strings;
    const uint32_t *hash;
    const Elf64_Half *versions;
    const Elf64_Verdef *definitions;
};

static struct tables find_tables(const struct vdso *v)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)v->bytes;
    const Elf64_Phdr *segments = (const Elf64_Phdr *)(v->bytes + header->e_phoff);
    struct tables t = {0};
    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type != PT_DYNAMIC)
            continue;
        for (const Elf64_Dyn *d = (const Elf64_Dyn *)(v->bytes + segments[i].p_vaddr); d->d_tag; d++) {
            const char *at = v->bytes + d->d_un.d_ptr;
            switch (d->d_tag) {
            case DT_SYMTAB: t.symbols = (const Elf64_Sym *)at; break;
            case DT_STRTAB: t.strings = at; break;
            case DT_HASH: t.hash = (const uint32_t *)at; break;
            case DT_VERSYM: t.versions = (const Elf64_Half *)at; break;
            case DT_VERDEF: t.definitions = (const Elf64_Verdef *)at; break;
            default: break;
            }
        }
    }
    return t;
}

static uint32_t hash_of(const char *name)
{
    uint32_t h = 0;
    for (; *name; name++) {
        h = (h << 4) + (unsigned char)*name;
        uint32_t g = h & 0xf0000000;
        h = (h ^ g >> 24) & ~g;
    }
    return h;
}

static uint64_t look_up(const struct tables *t, const char *name)
{
    uint32_t buckets = t->hash[0];
    const uint32_t *chains = t->hash + 2 + buckets;
    for (uint32_t i = t->hash[2 + hash_of(name) % buckets]; i; i = chains[i])
        if (!strcmp(t->strings + t->symbols[i].st_name, name) && t->versions[i] == 2)
            return t->symbols[i].st_value;
    return 0;
}

static void functions_make_their_call(void **state)
{
    static const struct {
        const char *name;
        uint32_t number;
    } functions[] = {{"__vdso_rt_sigreturn", 139},  {"__vdso_gettimeofday", 169},
                     {"__vdso_clock_gettime", 113}, {"__vdso_clock_getres", 114},
                     {"__vdso_getcpu", 168},        {"__vdso_flush_icache", 259},
                     {"__vdso_riscv_hwprobe", 258}};
    struct vdso v = map_vdso(state);
    struct tables t = find_tables(&v);
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        uint64_t at = look_up(&t, functions[i].name);
        assert_int_not_equal(at, 0);
        const uint32_t *code = (const uint32_t *)(v.bytes + at);
        assert_int_equal(code[0], functions[i].number << 20 | 17 << 7 | 0x13); /* li a7, number */
        assert_int_equal(code[1], 0x73);                                       /* ecall */
    }
    assert_int_equal(look_up(&t, "__vdso_nothing"), 0);
    assert_int_equal(v.base + look_up(&t, "__vdso_rt_sigreturn"), v.sigreturn);
}

static void has_its_version(void **state)
{
    struct vdso v = map_vdso(state);
    struct tables t = find_tables(&v);
    const Elf64_Verdef *def = (const Elf64_Verdef *)((const char *)t.definitions + t.definitions->vd_next);
    const Elf64_Verdaux *aux = (const Elf64_Verdaux *)((const char *)def + def->vd_aux);
    assert_int_equal(def->vd_ndx, 2);
    assert_int_equal(def->vd_hash, hash_of("LINUX_4.15"));
    assert_string_equal(t.strings + aux->vda_name, "LINUX_4.15");
}

/* ---- As binutils read it ---- */

static char *run(const char *format, const char *file)
{
    char command[256], *text = calloc(1, 65536);
    snprintf(command, sizeof(command), format, file);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t length = fread(text, 1, 65535, pipe);
    text[length] = 0;
    pclose(pipe);
    return text;
}

static void binutils_agree(void **state)
{
    struct vdso v = map_vdso(state);
    char file[] = "/tmp/guise-vdso-XXXXXX";
    int fd = mkstemp(file);
    assert_int_equal(write(fd, v.bytes, v.size), v.size);
    close(fd);
    char *text = run("riscv64-linux-gnu-readelf -W -a --debug-dump=frames %s 2>&1", file);
    unlink(file);
    if (!strstr(text, "ELF Header")) {
        free(text);
        skip();
    }
    assert_null(strstr(text, "rror"));
    assert_null(strstr(text, "arning"));
    assert_non_null(strstr(text, "Library soname: [linux-vdso.so.1]"));
    assert_non_null(strstr(text, "__vdso_clock_gettime@@LINUX_4.15"));
    assert_non_null(strstr(text, "GNU_EH_FRAME"));
    assert_non_null(strstr(text, "Augmentation:          \"zRS\""));
    /* The interrupted pc, sp and s0, and fs0 */
    assert_non_null(strstr(text, "DW_CFA_def_cfa_expression (DW_OP_breg2 (sp): 320; DW_OP_deref)"));
    assert_non_null(strstr(text, "DW_CFA_expression: r64 (DW_OP_breg2 (sp): 304)"));
    assert_non_null(strstr(text, "DW_CFA_expression: r8 (s0) (DW_OP_breg2 (sp): 368)"));
    assert_non_null(strstr(text, "DW_CFA_expression: r40 (fs0) (DW_OP_breg2 (sp): 624)"));
    free(text);
}

#define MM_TEST(name) cmocka_unit_test_setup_teardown(name, mm_setup, mm_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MM_TEST(functions_make_their_call),
        MM_TEST(has_its_version),
        MM_TEST(binutils_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
