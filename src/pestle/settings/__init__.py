"""Every setting once: the run file, and the settings of physical tests."""
