"""One process that asks one question of several services: `python -m tests.router.one_of_eight URL ...`."""

import sys

from freeproviders import FreeProviders, OpenAICompatible


def main(urls):
    router = FreeProviders(*(OpenAICompatible("m", base_url=url, api_key="k") for url in urls))
    print(router.complete_sync("Hi").text)


if __name__ == "__main__":
    main(sys.argv[1:])
