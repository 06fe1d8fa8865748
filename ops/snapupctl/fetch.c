#include "ctl.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

enum { CONNECT_TIMEOUT_MS = 3000, TIMEOUT_MS = 10000, PATH_MAX_LEN = 2048, HEADER_MAX = 512 };

static size_t on_bytes(char *data, size_t size, size_t n, void *arg)
{
    struct buf *body = arg;
    buf_append(body, data, size * n);
    return body->overflow ? 0 : size * n;
}

/* The address for curl; a Unix socket is an option beside some host name. */
static void set_address(CURL *curl, const struct ctl *ctl, const char *path)
{
    char address[PATH_MAX_LEN];
    const char *base = ctl->url;
    if (strncmp(base, "unix:", 5) == 0) {
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, base + 5);
        base = "http://localhost";
    }
    size_t n = strlen(base);
    while (n > 0 && base[n - 1] == '/')
        n--;
    snprintf(address, sizeof(address), "%.*s%s", (int)n, base, path);
    curl_easy_setopt(curl, CURLOPT_URL, address);
}

long ctl_get(const struct ctl *ctl, const char *path, struct buf *body, char *error, size_t size)
{
    char why[CURL_ERROR_SIZE] = "", header[HEADER_MAX];
    struct curl_slist *headers = NULL;
    long status = 0;
    CURL *curl = curl_easy_init();
    if (!curl) {
        snprintf(error, size, "out of memory");
        return 0;
    }
    set_address(curl, ctl, path);
    if (ctl->key) {
        snprintf(header, sizeof(header), "Authorization: Bearer %s", ctl->key);
        headers = curl_slist_append(headers, header);
        explicit_bzero(header, sizeof(header));
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS + ctl->wait_s * 1000);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    CURLcode rc = curl_easy_perform(curl);
    if (rc == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    else
        snprintf(error, size, "%s", why[0] ? why : curl_easy_strerror(rc));
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return status;
}
