/** The version of everything in a data directory and between nodes. Raised when an older program could not read it. */
export const DATA_FORMAT = 1;
