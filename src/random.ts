export * from "./data/shuffle.ts";
