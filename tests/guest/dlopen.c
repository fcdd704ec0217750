/* dlopen, dlsym, dlclose and symbols of the program itself.
 * builds: dynamic
 */
#include "test.h"
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>

__attribute__((visibility("default"))) int own_symbol(int x)
{
    return x * 3;
}

static int count_objects(struct dl_phdr_info *info, size_t size, void *count)
{
    (void)size;
    *(int *)count += info->dlpi_phnum > 0;
    return 0;
}

static void *open_and_close(void *arg)
{
    for (int i = 0; i < 30; i++) {
        void *library = dlopen("libresolv.so.2", RTLD_NOW);
        if (!library || !dlsym(library, "ns_get16") || dlclose(library))
            return arg;
    }
    return NULL;
}

int main(void)
{
    void *library = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
    OK("dlopen", library != NULL);
    double (*cosine)(double) = (double (*)(double))dlsym(library, "cos");
    OK("dlsym", cosine && cosine(0) == 1);
    OK("a missing symbol",
       dlsym(library, "no_such_symbol") == NULL && strstr(dlerror(), "no_such_symbol") != NULL);
    OK("a missing library",
       dlopen("libnosuch.so.1", RTLD_NOW) == NULL && strstr(dlerror(), "libnosuch.so.1") != NULL);
    void *self = dlopen(NULL, RTLD_NOW);
    int (*own)(int) = (int (*)(int))dlsym(self, "own_symbol");
    EQ("a symbol of the program", own ? own(5) : 0, 15);
    Dl_info info;
    OK("dladdr", dladdr((void *)(uintptr_t)own_symbol, &info) && strcmp(info.dli_sname, "own_symbol") == 0);
    int before = 0, during = 0, after = 0;
    dl_iterate_phdr(count_objects, &before);
    void *extra = dlopen("libresolv.so.2", RTLD_LAZY);
    dl_iterate_phdr(count_objects, &during);
    EQ("dlclose", dlclose(extra), 0);
    dl_iterate_phdr(count_objects, &after);
    OK("objects come and go", during == before + 1 && after == before);
    pthread_t threads[4];
    long bad = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, open_and_close, (void *)1);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        bad += (long)result;
    }
    EQ("four threads open and close", bad, 0);
    return test_end();
}
