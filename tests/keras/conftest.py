"""The scripts are programs that import Keras, and no modules of tests."""

collect_ignore_glob = ["scripts/*"]
