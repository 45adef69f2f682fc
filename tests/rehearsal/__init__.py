"""The whole product on free ports with fake providers, for the demo, the benchmark and later the chaos run."""
