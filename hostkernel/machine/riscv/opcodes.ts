export const OP_DECODE = 0;
export const OP_NEXT_PAGE = 1;
