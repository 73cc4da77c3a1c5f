"""Print docs/settings.md, which is made from the settings and the methods' declarations.

python recipes/settings_page.py > docs/settings.md
"""

from __future__ import annotations

from pestle.adaptation import IN_WORDS
from pestle.settings.run_file import settings_page

if __name__ == "__main__":
    print(settings_page({"method": IN_WORDS}), end="")
