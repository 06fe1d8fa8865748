/* main.c - snapupctl: looks at a running Snapup from outside, by its HTTP API alone. */
#include "ctl.h"

#include <curl/curl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 256, SENTENCE_MAX = 600, WAIT_S_MAX = 60 };

static const struct verb {
    const char *name, *args, *help;
    int words; /* that it takes */
    int (*run)(const struct ctl *ctl);
} verbs[] = {
    {"doctor", "", "is it alive and ready, and do settings weaken a promise?", 0, ctl_doctor},
    {"audit", "SALE", "were all promises kept for a sale? Needs a key.", 1, ctl_audit},
};

enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static int usage(FILE *out)
{
    fprintf(out, "Usage: snapupctl VERB [OPTION...]\n\nVerbs:\n");
    for (size_t i = 0; i < VERBS; i++)
        fprintf(out, "  %-7s %-5s %s\n", verbs[i].name, verbs[i].args, verbs[i].help);
    fputs("\nOptions:\n"
          "  -u, --url URL        the service, http://host:port or unix:/path\n"
          "                       ($SNAPUPCTL_URL, or http://127.0.0.1:8080)\n"
          "  -k, --key-file FILE  file with a storefront's or operator's key ($SNAPUPCTL_KEY is a "
          "key)\n"
          "  -w, --wait SECONDS   audit: for pending work to settle, up to 60 (5)\n"
          "  -j, --json           for programs\n"
          "  -h, --help\n"
          "      --version\n\n"
          "Exit codes: 0 all is well, 1 there are warnings, 2 something fails or a promise is "
          "broken,\n"
          "3 nobody answers, 64 wrong usage.\n\n"
          "Examples:\n"
          "  snapupctl doctor --url http://10.0.0.5:8080\n"
          "  snapupctl audit sale_demo --key-file /etc/snapup/operator.key\n",
          out);
    return out == stdout ? CTL_OK : CTL_USAGE;
}

int ctl_complain(const struct ctl *ctl, int code, const char *fmt, ...)
{
    char sentence[SENTENCE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof(sentence), fmt, args);
    va_end(args);
    fprintf(stderr, "snapupctl: %s\n", sentence);
    if (ctl->json) {
        const char *status = code == CTL_UNREACHABLE ? "unreachable" : "failing";
        json_t *all = json_pack("{s:s, s:s}", "status", status, "detail", sentence);
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(all);
    }
    return code;
}

static int misuse(const char *what, const char *word)
{
    fprintf(stderr, "snapupctl: %s%s; snapupctl --help tells more\n", what, word);
    return CTL_USAGE;
}

/* The first line of file. */
static bool read_key(const char *file, char key[KEY_MAX])
{
    FILE *f = fopen(file, "re");
    bool ok = f && fgets(key, KEY_MAX, f);
    if (f)
        fclose(f);
    if (ok)
        key[strcspn(key, " \t\r\n")] = '\0';
    return ok && key[0] != '\0';
}

static bool read_seconds(const char *text, long *out)
{
    char *end;
    *out = strtol(text, &end, 10);
    return *text != '\0' && *end == '\0' && *out >= 0 && *out <= WAIT_S_MAX;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
    if (argc == 0)
        return usage(stderr);
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(verbs[i].name, argv[0]) != 0)
            continue;
        ctl->argc = argc - 1;
        ctl->argv = argv + 1;
        if (ctl->argc != verbs[i].words)
            return misuse(ctl->argc < verbs[i].words ? "what is missing: " : "it takes only: ",
                          verbs[i].words ? verbs[i].args : "no word");
        curl_global_init(CURL_GLOBAL_DEFAULT);
        int code = verbs[i].run(ctl);
        curl_global_cleanup();
        return code;
    }
    return misuse("no such verb: ", argv[0]);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"url", required_argument, NULL, 'u'},
                                            {"key-file", required_argument, NULL, 'k'},
                                            {"wait", required_argument, NULL, 'w'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    static char key[KEY_MAX];
    const char *url = getenv("SNAPUPCTL_URL");
    struct ctl ctl = {.url = url && *url ? url : "http://127.0.0.1:8080",
                      .key = getenv("SNAPUPCTL_KEY"),
                      .wait_s = 5};
    int c;
    while ((c = getopt_long(argc, argv, "u:k:w:jh", options, NULL)) != -1) {
        switch (c) {
        case 'u': ctl.url = optarg; break;
        case 'k':
            if (!read_key(optarg, key))
                return misuse("no key in the file ", optarg);
            ctl.key = key;
            break;
        case 'w':
            if (!read_seconds(optarg, &ctl.wait_s))
                return misuse("--wait takes 0 to 60 seconds, not ", optarg);
            break;
        case 'j': ctl.json = true; break;
        case 'h': return usage(stdout);
        case 'V': puts("snapupctl " SNAPUP_VERSION); return CTL_OK;
        default: return misuse("unknown option or missing value", "");
        }
    }
    return run(&ctl, argc - optind, argv + optind);
}
